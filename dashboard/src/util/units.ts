// Limits and spans as people write them: `4 GiB`, `512m`, `90 min`, `none`.

const KIB = 1024
const SIZES: readonly [RegExp, number][] = [
  [/^(?:b|bytes?)?$/, 1],
  [/^k(?:i?b)?$/, KIB],
  [/^m(?:i?b)?$/, KIB ** 2],
  [/^g(?:i?b)?$/, KIB ** 3],
  [/^t(?:i?b)?$/, KIB ** 4],
]
const NONE = /^(|none|no|off|unlimited|no limit)$/

/** What was typed: a number, null for "no limit", undefined when it cannot be read. */
export type Typed = number | null | undefined

/** A size. A bare number is refused: nobody means bytes. */
export function parseBytes(text: string): Typed {
  const typed = text.trim().toLowerCase()
  if (NONE.test(typed)) return null
  const parts = /^(\d+(?:[.,]\d+)?)\s*([a-z]+)$/.exec(typed)
  const unit = parts && SIZES.find(([pattern]) => pattern.test(parts[2] ?? ''))
  if (!parts || !unit) return undefined
  const bytes = Math.round(Number(parts[1]?.replace(',', '.')) * unit[1])
  return bytes > 0 ? bytes : undefined
}

/** A count, whole unless `parts`. */
export function parseCount(text: string, parts = false): Typed {
  const typed = text.trim().toLowerCase()
  if (NONE.test(typed)) return null
  if (!(parts ? /^\d+(?:[.,]\d+)?$/ : /^\d+$/).test(typed)) return undefined
  const n = Number(typed.replace(',', '.'))
  return n > 0 ? n : undefined
}

/** A size as it is written into a field: exact, in the largest unit that is not a long fraction. */
export function bytesText(n: number | null): string {
  if (n === null) return ''
  for (const [unit, size] of [
    ['TiB', KIB ** 4],
    ['GiB', KIB ** 3],
    ['MiB', KIB ** 2],
    ['KiB', KIB],
  ] as const) {
    const value = n / size
    if (value >= 1 && Number.isInteger(value * 4)) return `${value} ${unit}`
  }
  return `${n} B`
}

const SPANS = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
] as const

const SPAN_UNITS: readonly [RegExp, number][] = [
  [/^s(?:ec(?:onds?)?)?$/, 1],
  [/^(?:m(?:in(?:utes?)?)?)?$/, 60],
  [/^h(?:(?:ou)?rs?)?$/, 3600],
  [/^d(?:ays?)?$/, 86_400],
]

/** A span in seconds. A bare number is minutes. */
export function parseSpan(text: string): Typed {
  const typed = text.trim().toLowerCase()
  if (NONE.test(typed)) return null
  const parts = /^(\d+(?:[.,]\d+)?)\s*([a-z]*)$/.exec(typed)
  const unit = parts && SPAN_UNITS.find(([pattern]) => pattern.test(parts[2] ?? ''))
  if (!parts || !unit) return undefined
  const seconds = Math.round(Number(parts[1]?.replace(',', '.')) * unit[1])
  return seconds > 0 ? seconds : undefined
}

/** `5 minutes`, `1 hour`, `90 minutes`: a span in the largest unit that is whole. */
export function spanWords(seconds: number): string {
  const [word, size] = SPANS.find(([, size]) => seconds >= size && seconds % size === 0) ?? [
    'second',
    1,
  ]
  const n = seconds / size
  return `${n} ${word}${n === 1 ? '' : 's'}`
}
