// State glyphs. Never colour alone: each has a shape of its own, and a word stands beside it or in
// its title.
import { cx } from '@/util/class'

export type Tone = 'moss' | 'amber' | 'red' | 'quiet'

const TONES: Record<Tone, string> = {
  moss: 'text-moss-text',
  amber: 'text-amber-text',
  red: 'text-red-text',
  quiet: 'text-ink-3',
}

const SHAPES = {
  play: <path d="M3 1.600v8.800L10.4 6z" fill="currentColor" />,
  square: <rect x="2" y="2" width="8" height="8" rx="1" fill="currentColor" />,
  disc: <circle cx="6" cy="6" r="4" fill="currentColor" />,
  ring: <circle cx="6" cy="6" r="3.4" fill="none" stroke="currentColor" strokeWidth="1.3" />,
  half: (
    <>
      <circle cx="6" cy="6" r="3.4" fill="none" stroke="currentColor" strokeWidth="1.3" />
      <path d="M6 2.600a3.4 3.4 0 0 1 0 6.800z" fill="currentColor" />
    </>
  ),
  cross: (
    <path
      d="m2.5 2.5 7 7M9.5 2.500l-7 7"
      stroke="currentColor"
      strokeWidth="1.6"
      strokeLinecap="round"
    />
  ),
  tick: (
    <path
      d="m2 6.5 2.7 2.700L10 3.2"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.6"
      strokeLinecap="round"
      strokeLinejoin="round"
    />
  ),
  ask: (
    <path
      d="M4 4.300a2.1 2.1 0 1 1 3 1.900c-.7.3-1 .7-1 1.400M6 10h.01"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
    />
  ),
  pause: (
    <path d="M4 2.500v7M8 2.500v7" stroke="currentColor" strokeWidth="1.8" strokeLinecap="round" />
  ),
  dot: <circle cx="6" cy="6" r="1.6" fill="currentColor" />,
} as const

export type Shape = keyof typeof SHAPES

/** A 12 px glyph. With a `title` it is read aloud; without one the word must stand beside it. */
export function Glyph({
  shape,
  tone,
  pulse = false,
  title,
}: {
  shape: Shape
  tone: Tone
  pulse?: boolean
  title?: string
}) {
  return (
    <svg
      viewBox="0 0 12 12"
      width={12}
      height={12}
      role={title ? 'img' : undefined}
      aria-label={title}
      aria-hidden={title ? undefined : true}
      className={cx('shrink-0', TONES[tone], pulse && 'pulse')}
    >
      {title && <title>{title}</title>}
      {SHAPES[shape]}
    </svg>
  )
}
