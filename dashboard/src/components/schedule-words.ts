// Schedules in words: when they are due, and what became of it.
import type { Firing, Outcome, When, Work } from '@/api/machine-types'
import { capital, dayAndTime } from '@/util/format'
import { cronWords, parseCron } from '@/util/cron'
import { spanWords } from '@/util/units'
import type { Look } from './project-state'

/** The zone of whoever looks at the page. */
export const HERE = Intl.DateTimeFormat().resolvedOptions().timeZone

/** `At 07:30, Monday to Friday`. The zone is named when it is not the viewer's. */
export function whenWords(when: When): string {
  if ('everyS' in when) return `Every ${spanWords(when.everyS).replace(/^1 /, '')}`
  if ('at' in when) return `Once, ${dayAndTime(when.at)}`
  const cron = parseCron(when.cron)
  const words = 'error' in cron ? when.cron : capital(cronWords(cron))
  const zone = when.timezone ?? 'UTC'
  return zone === HERE ? words : `${words} (${zone})`
}

export const workWords = (work: Work) => ('command' in work ? work.command : work.prompt)

const OUTCOMES: Record<Outcome, Look & { meaning: string }> = {
  running: { shape: 'disc', tone: 'moss', word: 'Running', pulse: true, meaning: 'It runs now.' },
  fired: { shape: 'tick', tone: 'moss', word: 'Ran', meaning: 'Started in time, and ended.' },
  late: { shape: 'tick', tone: 'quiet', word: 'Ran late', meaning: 'Started after its time.' },
  skipped: {
    shape: 'ring',
    tone: 'quiet',
    word: 'Skipped',
    meaning: 'Its time passed, and nothing was started for it.',
  },
  suppressed: {
    shape: 'ring',
    tone: 'quiet',
    word: 'Left out',
    meaning: 'The one before still ran.',
  },
  failed: { shape: 'cross', tone: 'red', word: 'Failed', meaning: 'Started, and failed.' },
}

/** Due, and not started yet. */
const WAITS: Look & { meaning: string } = {
  shape: 'half',
  tone: 'amber',
  word: 'Waits',
  meaning: 'The one before still runs.',
}

export const firingLook = ({ outcome, waiting }: Pick<Firing, 'outcome' | 'waiting'>) =>
  waiting ? WAITS : OUTCOMES[outcome]
