// Shortcuts: `mod+shift+k` is Cmd on a Mac and Ctrl elsewhere. Matches by physical key for letters
// and digits, so that Alt on a Mac (which types other characters) still works.

export const isMac = typeof navigator !== 'undefined' && /mac|iphone|ipad/i.test(navigator.platform)

interface Chord {
  mod: boolean
  alt: boolean
  shift: boolean
  key: string
}

function parse(chord: string): Chord {
  const parts = chord.toLowerCase().split('+')
  return {
    mod: parts.includes('mod'),
    alt: parts.includes('alt'),
    shift: parts.includes('shift'),
    key: parts.at(-1) ?? '',
  }
}

/** The parts of a keyboard event that matter here. */
export type KeyLike = Pick<
  KeyboardEvent,
  'key' | 'code' | 'ctrlKey' | 'metaKey' | 'altKey' | 'shiftKey'
>

/** Whether the event is this chord and nothing more. */
export function matches(event: KeyLike, chord: string, mac = isMac): boolean {
  const want = parse(chord)
  const mod = mac ? event.metaKey : event.ctrlKey
  const other = mac ? event.ctrlKey : event.metaKey
  if (mod !== want.mod || other || event.altKey !== want.alt || event.shiftKey !== want.shift) {
    return false
  }
  if (/^[a-z]$/.test(want.key)) return event.code === `Key${want.key.toUpperCase()}`
  if (/^[0-9]$/.test(want.key)) return event.code === `Digit${want.key}`
  return event.key.toLowerCase() === want.key
}

const MAC: Record<string, string> = { mod: '⌘', alt: '⌥', shift: '⇧' }
const PLAIN: Record<string, string> = { mod: 'Ctrl', alt: 'Alt', shift: 'Shift' }
const NAMES: Record<string, string> = { enter: '↵', escape: 'Esc', arrowup: '↑', arrowdown: '↓' }

/** The chord as key caps. */
export function caps(chord: string, mac = isMac): string[] {
  return chord.split('+').map((part) => {
    const low = part.toLowerCase()
    return (mac ? MAC[low] : PLAIN[low]) ?? NAMES[low] ?? part.toUpperCase()
  })
}
