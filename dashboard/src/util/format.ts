// Numbers, times and sizes as people read them. Sizes are binary, money has a currency, durations
// below a minute have one decimal.

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/** `3.2 s`, `1 min 04 s`, `2 h 05 min`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`
  // 59.96 s would round up to "60.0 s".
  if (ms < MINUTE_MS - 50) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${pad(seconds % 60)} s`
  const minutes = Math.round(seconds / 60)
  return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} min`
}

function pad(n: number): string {
  return String(n).padStart(2, '0')
}

/** `now`, `4 min ago`, `3 h ago`, `yesterday`, `12 days ago`, else the date. */
export function relative(at: number, now: number): string {
  const past = now - at
  if (past < 45_000) return 'now'
  if (past < HOUR_MS) return `${Math.max(1, Math.round(past / MINUTE_MS))} min ago`
  if (past < DAY_MS) return `${Math.round(past / HOUR_MS)} h ago`
  const days = Math.round(past / DAY_MS)
  if (days === 1) return 'yesterday'
  if (days < 30) return `${days} days ago`
  return new Date(at).toLocaleDateString(undefined, { dateStyle: 'medium' })
}

/** Full local date and time, for hovering. */
export function absolute(at: number): string {
  return new Date(at).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' })
}

/** `14:03:22`. */
export function clock(at: number): string {
  return new Date(at).toLocaleTimeString(undefined, { hour12: false })
}

/** `14:03`. */
export function shortClock(at: number): string {
  return new Date(at).toLocaleTimeString(undefined, {
    hour: '2-digit',
    minute: '2-digit',
    hour12: false,
  })
}

/** `Sat, 21 Nov, 14:03`: a moment of another day. */
export function dayAndTime(at: number): string {
  const day = new Date(at).toLocaleDateString(undefined, {
    weekday: 'short',
    day: 'numeric',
    month: 'short',
  })
  return `${day}, ${shortClock(at)}`
}

/** `Today`, `Yesterday`, else `Thursday, 19 November`. */
export function dayName(at: number, now: number): string {
  const midnight = (time: number) => new Date(time).setHours(0, 0, 0, 0)
  const days = Math.round((midnight(now) - midnight(at)) / DAY_MS)
  if (days === 0) return 'Today'
  if (days === 1) return 'Yesterday'
  return new Date(at).toLocaleDateString(undefined, {
    weekday: 'long',
    day: 'numeric',
    month: 'long',
  })
}

/** `in 4 min`, `in 3 h`, `tomorrow`, `in 12 days`, for what is to come. */
export function until(at: number, now: number): string {
  const ahead = at - now
  if (ahead <= 0) return 'now'
  if (ahead < MINUTE_MS) return 'in under a minute'
  if (ahead < HOUR_MS) return `in ${Math.round(ahead / MINUTE_MS)} min`
  if (ahead < DAY_MS) return `in ${Math.round(ahead / HOUR_MS)} h`
  const days = Math.round(ahead / DAY_MS)
  return days === 1 ? 'in a day' : `in ${days} days`
}

/** A moment on the wire: Unix ms or RFC 3339. NaN when there is none. */
export function momentOf(at: string | number | null | undefined): number {
  return typeof at === 'number' ? at : at ? Date.parse(at) : Number.NaN
}

/** `512 B`, `1.5 KiB`, `3.0 GiB`. */
export function bytes(n: number): string {
  if (n < 1024) return `${n} B`
  const units = ['KiB', 'MiB', 'GiB', 'TiB']
  let value = n / 1024
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`
}

/** `950`, `12.3k`, `1.2M`: token counts. */
export function count(n: number): string {
  if (n < 1000) return String(n)
  if (n < 999_950) return `${trim(n / 1000)}k`
  return `${trim(n / 1_000_000)}M`
}

function trim(value: number): string {
  return value < 100 ? value.toFixed(1).replace(/\.0$/, '') : value.toFixed(0)
}

/** US dollars; small sums keep their digits. */
export function money(dollars: number): string {
  if (dollars === 0) return 'US$ 0'
  if (dollars < 0.001) return 'under US$ 0.001'
  return `US$ ${dollars.toFixed(dollars < 0.1 ? 3 : 2)}`
}

/** `1 file`, `3 files`. */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`
}

/** The first letter large. */
export function capital(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1)
}
