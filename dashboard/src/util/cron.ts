// Cron lines as crontab(5) has them: read, said in words, and when they are due next. Five fields; a day
// is due when either of its two fields says so, if both say anything.

interface Field {
  min: number
  max: number
  names?: readonly string[]
}

const MONTHS =
  'January February March April May June July August September October November December'.split(' ')
const DAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ')

const FIELDS: readonly (Field & { word: string })[] = [
  { word: 'minute', min: 0, max: 59 },
  { word: 'hour', min: 0, max: 23 },
  { word: 'day of the month', min: 1, max: 31 },
  { word: 'month', min: 1, max: 12, names: ['', ...MONTHS] },
  // 7 is Sunday too.
  { word: 'day of the week', min: 0, max: 7, names: DAYS },
]

export interface Cron {
  minutes: readonly number[]
  hours: readonly number[]
  days: ReadonlySet<number>
  months: ReadonlySet<number>
  weekdays: ReadonlySet<number>
  /** Whether the field began with `*`. */
  anyDay: boolean
  anyWeekday: boolean
  fields: readonly string[]
}

/** Signs that the server reads and this page does not: last days, workdays near a date, nicknames. */
const FOREIGN = /[@#?]|\b\d*[LW]\b|\d[LW]/i

/** Whether the line may be right although it cannot be read here. */
export function isForeign(line: string): boolean {
  return FOREIGN.test(line)
}

/** The line read, or what is wrong with it. */
export function parseCron(line: string): Cron | { error: string } {
  const fields = line.trim().split(/\s+/)
  if (fields.length !== 5) {
    return { error: 'Five fields are needed: minute, hour, day, month, day of the week.' }
  }
  const sets: number[][] = []
  for (const [index, text] of fields.entries()) {
    const field = FIELDS[index]
    const set = field && numbersOf(text, field)
    if (!field || !set) return { error: `“${text}” is no ${field?.word ?? 'field'}.` }
    sets.push(set)
  }
  const [minutes = [], hours = [], days = [], months = [], weekdays = []] = sets
  return {
    minutes,
    hours,
    days: new Set(days),
    months: new Set(months),
    weekdays: new Set(weekdays.map((day) => day % 7)),
    anyDay: fields[2]?.startsWith('*') ?? false,
    anyWeekday: fields[4]?.startsWith('*') ?? false,
    fields,
  }
}

function numbersOf(text: string, field: Field): number[] | null {
  const found = new Set<number>()
  for (const part of text.split(',')) {
    const pieces = /^(\*|[\w]+)(?:-(\w+))?(?:\/(\d+))?$/.exec(part)
    if (!pieces) return null
    const [, from = '', to, step] = pieces
    const every = from === '*'
    if (every && to !== undefined) return null
    const low = every ? field.min : numberOf(from, field)
    // A step without a range goes on to the end.
    const high = every || (to === undefined && step) ? field.max : numberOf(to ?? from, field)
    const by = step === undefined ? 1 : Number(step)
    if (low === null || high === null || low > high || by < 1) return null
    for (let n = low; n <= high; n += by) found.add(n)
  }
  return [...found].toSorted((a, b) => a - b)
}

function numberOf(text: string, { min, max, names }: Field): number | null {
  if (/^\d+$/.test(text)) {
    const n = Number(text)
    return n >= min && n <= max ? n : null
  }
  const at = names?.findIndex(
    (name) => name !== '' && name.slice(0, 3).toLowerCase() === text.toLowerCase(),
  )
  return at === undefined || at < 0 ? null : at
}

const MINUTE_MS = 60_000

const pad = (n: number) => String(n).padStart(2, '0')

/** `a, b and c`. */
function listed(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`
}

/** Times that are listed one by one; more are told by their fields. */
const TIMES_MAX = 6
/** Their day's names, as ranges read. */
const WORKDAYS = '1,2,3,4,5'

/** The line in words: `at 07:30, Monday to Friday`. */
export function cronWords(cron: Cron): string {
  const [minute = '', hour = '', day = '', month = '', weekday = ''] = cron.fields
  const { minutes, hours } = cron
  const words: string[] = []
  const everyMinutes = /^\*\/(\d+)$/.exec(minute)
  const everyHours = /^\*\/(\d+)$/.exec(hour)
  if (minute === '*' || everyMinutes) {
    words.push(everyMinutes ? `every ${everyMinutes[1]} minutes` : 'every minute')
    if (hour !== '*') words.push(`in the hours ${listed(hours.map((h) => pad(h)))}`)
  } else if (hour === '*' || everyHours) {
    const past = listed(minutes.map((m) => `:${pad(m)}`))
    words.push(`${everyHours ? `every ${everyHours[1]} hours` : 'every hour'} at ${past}`)
  } else if (minutes.length * hours.length <= TIMES_MAX) {
    const times = hours.flatMap((h) => minutes.map((m) => `${pad(h)}:${pad(m)}`))
    words.push(`at ${listed(times)}`)
  } else {
    words.push(
      `at ${listed(minutes.map((m) => `:${pad(m)}`))} past ${listed(hours.map((h) => pad(h)))}`,
    )
  }
  const dates = day.startsWith('*')
    ? day === '*'
      ? null
      : `every ${day.slice(2)} days of the month`
    : `on day ${listed([...cron.days].map(String))} of the month`
  const onDays = weekday === '*' ? null : weekdayWords(cron.weekdays)
  if (dates && onDays) {
    words.push(
      cron.anyDay || cron.anyWeekday ? `${dates}, if it is ${onDays}` : `${dates} or ${onDays}`,
    )
  } else words.push(dates ?? onDays ?? 'every day')
  if (month !== '*') words.push(`in ${listed([...cron.months].map((m) => MONTHS[m - 1] ?? ''))}`)
  return words.join(', ')
}

function weekdayWords(days: ReadonlySet<number>): string {
  const sorted = [...days].toSorted((a, b) => a - b)
  if (sorted.join(',') === WORKDAYS) return 'Monday to Friday'
  return listed(sorted.map((day) => DAYS[day] ?? ''))
}

/** A day whose both fields never meet (30 February) is looked for no longer than this. */
const DAYS_MAX = 366 * 5

/** The next moments after `after` (Unix ms) on the clocks of `zone`. */
export function nextTimes(cron: Cron, zone: string, after: number, count: number): number[] {
  const found: number[] = []
  const clock = clockOf(zone)
  const start = clock(after)
  for (let n = 0; n < DAYS_MAX && found.length < count; n += 1) {
    const day = new Date(Date.UTC(start.year, start.month - 1, start.day + n))
    if (!isDue(cron, day)) continue
    for (const hour of cron.hours) {
      for (const minute of cron.minutes) {
        const at = instant(clock, day, hour, minute)
        if (at > after && !found.includes(at)) found.push(at)
      }
    }
  }
  return found.toSorted((a, b) => a - b).slice(0, count)
}

function isDue(cron: Cron, day: Date): boolean {
  if (!cron.months.has(day.getUTCMonth() + 1)) return false
  const date = cron.days.has(day.getUTCDate())
  const weekday = cron.weekdays.has(day.getUTCDay())
  return cron.anyDay || cron.anyWeekday ? date && weekday : date || weekday
}

type Clock = (at: number) => Record<'year' | 'month' | 'day' | 'hour' | 'minute', number>

function clockOf(zone: string): Clock {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
  })
  return (at) =>
    Object.fromEntries(
      format.formatToParts(at).map(({ type, value }) => [type, Number(value)]),
    ) as ReturnType<Clock>
}

const DAY_MS = 86_400_000

/** The moment when the zone's clocks show this: the first of two in autumn, and right after the jump for
 * what spring leaves out. */
function instant(clock: Clock, day: Date, hour: number, minute: number): number {
  const wanted = day.getTime() + (hour * 60 + minute) * MINUTE_MS
  const offset = (at: number) => {
    const c = clock(at)
    return Date.UTC(c.year, c.month - 1, c.day, c.hour, c.minute) - at
  }
  const offsets = [offset(wanted - DAY_MS), offset(wanted + DAY_MS)]
  const shown = offsets.map((each) => wanted - each).filter((at) => at + offset(at) === wanted)
  if (shown.length > 0) return Math.min(...shown)
  let [before, after] = [wanted - Math.max(...offsets), wanted - Math.min(...offsets)]
  while (after - before > MINUTE_MS) {
    const middle = before + Math.floor((after - before) / 2 / MINUTE_MS) * MINUTE_MS
    if (offset(middle) === offset(before)) before = middle
    else after = middle
  }
  return after
}

/** Whether the name is one of the tz database that this browser knows. */
export function isZone(zone: string): boolean {
  try {
    return Boolean(new Intl.DateTimeFormat('en-US', { timeZone: zone }))
  } catch {
    return false
  }
}
