// What is typed into the form of a schedule, and what of it is wrong. Pure.
import type { Schedule, ScheduleDraft, When, Work } from '@/api/machine-types'
import { HERE } from '@/components/schedule-words'
import { isForeign, isZone, nextTimes, parseCron } from '@/util/cron'

export interface Typed {
  name: string
  kind: 'cron' | 'every' | 'once'
  cron: string
  zone: string
  every: string
  unit: keyof typeof UNITS_S
  /** As the browser's field has it: local, without a zone. */
  at: string
  work: 'prompt' | 'command'
  text: string
  /** Empty: a new conversation each time. */
  session: string
  catchUp: ScheduleDraft['catchUp']
  catchUpMax: string
  overlap: ScheduleDraft['overlap']
}

/** How many missed times are made up for, unless somebody says more or fewer. */
const CATCH_UP_DEFAULT = 10
const CATCH_UP_MAX = 100

export const UNITS_S = { seconds: 1, minutes: 60, hours: 3600, days: 86_400 } as const

const pad = (n: number) => String(n).padStart(2, '0')

/** A moment as the browser's field wants it. */
export function localField(at: number): string {
  const date = new Date(at)
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`
  return `${day}T${pad(date.getHours())}:${pad(date.getMinutes())}`
}

/** Clocks that go forward skip less than this. */
const SKIPPED_MS_MAX = 24 * 3600 * 1000

/** The moment that a field of that form means. A time that the clocks here skip means the moment at which
 * they do, as the server has it; a browser alone would go on by as much as they skip. */
export function momentOf(field: string): number {
  const at = new Date(field).getTime()
  if (Number.isNaN(at) || localField(at) === field.slice(0, 16)) return at
  const offset = (ms: number) => new Date(ms).getTimezoneOffset()
  let [before, after] = [at - SKIPPED_MS_MAX, at]
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2)
    if (offset(middle) === offset(at)) after = middle
    else before = middle
  }
  return after
}

export function typedOf(schedule: Schedule | null, now: number): Typed {
  const typed: Typed = {
    name: schedule?.name ?? '',
    kind: 'cron',
    cron: '0 9 * * 1-5',
    zone: HERE,
    every: '1',
    unit: 'hours',
    at: localField(Math.ceil((now + 1) / 3_600_000) * 3_600_000),
    work: 'prompt',
    text: '',
    session: '',
    catchUp: schedule?.catchUp ?? 'latest',
    catchUpMax: String(schedule?.catchUpMax ?? CATCH_UP_DEFAULT),
    overlap: schedule?.overlap ?? 'skip',
  }
  if (!schedule) return typed
  const { when, do: work } = schedule
  if ('cron' in when) {
    typed.cron = when.cron
    typed.zone = when.timezone ?? 'UTC'
  } else if ('everyS' in when) {
    const units = Object.keys(UNITS_S) as Typed['unit'][]
    typed.kind = 'every'
    typed.unit = units.findLast((unit) => when.everyS % UNITS_S[unit] === 0) ?? 'seconds'
    typed.every = String(when.everyS / UNITS_S[typed.unit])
  } else {
    typed.kind = 'once'
    typed.at = localField(when.at)
  }
  typed.work = 'command' in work ? 'command' : 'prompt'
  typed.text = 'command' in work ? work.command : work.prompt
  typed.session = 'prompt' in work ? (work.sessionId ?? '') : ''
  return typed
}

/** What is wrong, by field; empty when the draft may be sent. */
export type Faults = Partial<Record<'name' | 'when' | 'zone' | 'text' | 'catchUpMax', string>>

/** The schedule that was typed, or what is wrong with it. */
export function draftOf(
  typed: Typed,
  now: number,
): { draft: Omit<ScheduleDraft, 'enabled'> | null; faults: Faults } {
  const faults: Faults = {}
  const name = typed.name.trim()
  const text = typed.text.trim()
  if (!name) faults.name = 'It needs a name.'
  if (!text) faults.text = typed.work === 'prompt' ? 'What shall be done?' : 'Which command?'
  // Not asked for, it is not held against anybody.
  const number = Number(typed.catchUpMax)
  const fits = Number.isInteger(number) && number >= 1 && number <= CATCH_UP_MAX
  const catchUpMax = fits ? number : CATCH_UP_DEFAULT
  if (!fits && typed.catchUp === 'all') faults.catchUpMax = `A number from 1 to ${CATCH_UP_MAX}.`
  const when = whenOf(typed, now, faults)
  if (!when || Object.keys(faults).length > 0) return { draft: null, faults }
  const work: Work =
    typed.work === 'command'
      ? { command: text }
      : { prompt: text, ...(typed.session ? { sessionId: typed.session } : {}) }
  return {
    draft: {
      name,
      when,
      do: work,
      catchUp: typed.catchUp,
      catchUpMax,
      overlap: typed.overlap,
    },
    faults,
  }
}

function whenOf(typed: Typed, now: number, faults: Faults): When | null {
  switch (typed.kind) {
    case 'cron': {
      const cron = parseCron(typed.cron)
      const unread = 'error' in cron
      if (unread && !isForeign(typed.cron)) {
        faults.when = cron.error
        return null
      }
      if (!isZone(typed.zone)) {
        faults.zone = 'No such zone, like Europe/Berlin or UTC.'
        return null
      }
      if (!unread && nextTimes(cron, typed.zone, now, 1).length === 0)
        faults.when = 'That day never comes.'
      return { cron: typed.cron.trim(), timezone: typed.zone }
    }
    case 'every': {
      const n = Number(typed.every.replace(',', '.'))
      const everyS = Math.round(n * UNITS_S[typed.unit])
      if (!(everyS >= 1)) faults.when = 'A number above 0.'
      return { everyS }
    }
    case 'once': {
      const at = momentOf(typed.at)
      if (Number.isNaN(at)) faults.when = 'Which day and time?'
      else if (at <= now) faults.when = 'That is past.'
      return { at }
    }
    default:
      return null
  }
}
