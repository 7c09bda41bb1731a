// The line above an app: which port and path, reload, open outside.
import { useState, type FormEvent } from 'react'
import { IconButton } from '@/ui/button'

export function AddressBar({
  port,
  origin,
  onGo,
  onReload,
  onOutside,
}: {
  port: number | null
  origin: string | null
  onGo: (port: number | null, path: string) => void
  onReload: () => void
  onOutside: () => void
}) {
  const [text, setText] = useState(port === null ? '' : `:${port}/`)
  const submit = (event: FormEvent) => {
    event.preventDefault()
    const parts = /^\s*:?(\d{1,5})?(\/.*)?$/.exec(text)
    if (!parts) return
    onGo(parts[1] ? Number(parts[1]) : null, parts[2]?.trim() || '/')
  }
  return (
    <form
      onSubmit={submit}
      className="flex h-8 shrink-0 items-center gap-0.5 border-b px-1 max-md:h-11"
    >
      <IconButton icon="reload" label="Reload" onClick={onReload} />
      <input
        value={text}
        onChange={(event) => setText(event.target.value)}
        onFocus={(event) => event.target.select()}
        aria-label="Port and path"
        placeholder=":3000/"
        spellCheck={false}
        title={origin ?? undefined}
        className="h-6 min-w-0 grow rounded-md bg-sunk px-2 font-mono text-sm max-md:h-9"
      />
      <IconButton icon="open" label="Open outside" onClick={onOutside} />
    </form>
  )
}
