// What browsers keep from pages over plain HTTP, which the dashboard is when it is opened by the bare
// address of another computer: done by older means.

/** A short random id, for things of this page. `crypto.randomUUID` needs a secure context. */
export function shortId(): string {
  return randomHex(4)
}

/** A random id that no other page makes. */
export function uniqueId(): string {
  return randomHex(16)
}

function randomHex(length: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(length))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** Copies text; false when the browser does not let it. */
export async function copyText(text: string): Promise<boolean> {
  // Typed as always there; absent outside of secure contexts.
  const clipboard = navigator.clipboard as Clipboard | undefined
  if (clipboard) {
    return clipboard.writeText(text).then(
      () => true,
      () => false,
    )
  }
  const before = document.activeElement
  const field = document.createElement('textarea')
  field.value = text
  field.style.position = 'fixed'
  field.style.opacity = '0'
  document.body.append(field)
  field.select()
  // oxlint-disable-next-line typescript/no-deprecated -- there is no other way over plain HTTP
  const done = document.execCommand('copy')
  field.remove()
  if (before instanceof HTMLElement) before.focus()
  return done
}
