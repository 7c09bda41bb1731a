// Checkpoints, and what differs from them, in words.
import type { Change, Checkpoint, CheckpointCause, KeepRule } from '@/api/machine-types'
import type { IconName } from '@/ui/icons'
import { dayAndTime, dayName, plural, shortClock } from '@/util/format'

export const CAUSES: Record<CheckpointCause, { word: string; title: string; icon: IconName }> = {
  manual: { word: 'kept', title: 'Kept by hand', icon: 'pin' },
  prompt: { word: 'before a prompt', title: 'Before a prompt', icon: 'chat' },
  restore: { word: 'before going back', title: 'Before going back', icon: 'undo' },
  fork: { word: 'for a fork', title: 'For a fork', icon: 'fork' },
}

/** `“before the rewrite”`, else `14:03`: how a sentence names it. */
export function checkpointName(
  { label, createdAt }: Pick<Checkpoint, 'label' | 'createdAt'>,
  now: number,
): string {
  if (label) return `“${label}”`
  const today = new Date(createdAt).toDateString() === new Date(now).toDateString()
  return today ? shortClock(createdAt) : dayAndTime(createdAt)
}

/** What going back does to a path that differs so from the checkpoint to now. */
export const GOING_BACK: Record<Change['kind'], { word: string; sign: string }> = {
  added: { word: 'goes away', sign: '−' },
  removed: { word: 'comes back', sign: '+' },
  modified: { word: 'as it was', sign: '~' },
  replaced: { word: 'as it was', sign: '~' },
}

/** How a path differs from the checkpoint to now. */
export const SINCE: Record<Change['kind'], { word: string; sign: string }> = {
  added: { word: 'new', sign: '+' },
  removed: { word: 'gone', sign: '−' },
  modified: { word: 'changed', sign: '~' },
  replaced: { word: 'of another kind', sign: '~' },
}

/** `12 files as they were, 3 go away, 1 comes back`. */
export function backWords(changes: readonly Change[], truncated: boolean): string {
  const count = (kinds: readonly Change['kind'][]) =>
    changes.filter((change) => kinds.includes(change.kind)).length
  const [same, away, again] = [
    count(['modified', 'replaced']),
    count(['added']),
    count(['removed']),
  ]
  const parts = [
    same > 0 ? `${plural(same, 'path')} as ${same === 1 ? 'it was' : 'they were'}` : null,
    away > 0 ? `${away} ${away === 1 ? 'goes' : 'go'} away` : null,
    again > 0 ? `${again} ${again === 1 ? 'comes' : 'come'} back` : null,
  ].filter((part) => part !== null)
  if (parts.length === 0) return 'No file differs.'
  return `${truncated ? 'More than ' : ''}${parts.join(', ')}.`
}

/** What the rule means, in a sentence. */
export function ruleWords({ last, hourly, daily }: KeepRule, automatic: boolean): string {
  if (!automatic) {
    return 'None is taken by itself before a prompt. One is always taken before going back.'
  }
  const parts = [
    last > 0 ? (last === 1 ? 'the last one' : `the last ${last}`) : null,
    hourly > 0 ? `one an hour for ${plural(hourly, 'hour')}` : null,
    daily > 0 ? `one a day for ${plural(daily, 'day')}` : null,
  ].filter((part) => part !== null)
  const kept =
    parts.length === 0
      ? 'None of them is kept'
      : parts.length === 1
        ? `Kept is ${parts[0]}`
        : `Kept are ${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`
  return `One is taken before every prompt and before going back. ${kept}; those you make or label stay until you delete them.`
}

/** The one that was taken before a user message, if it is still kept. */
export function checkpointBefore(
  checkpoints: readonly Checkpoint[],
  sessionId: string,
  entryId: string,
): Checkpoint | undefined {
  return checkpoints.find(
    ({ message }) => message?.sessionId === sessionId && message.leafEntryId === entryId,
  )
}

/** The list cut into days, the order kept. */
export function byDay(
  checkpoints: readonly Checkpoint[],
  now: number,
): { day: string; checkpoints: Checkpoint[] }[] {
  const days: { day: string; checkpoints: Checkpoint[] }[] = []
  for (const checkpoint of checkpoints) {
    const day = dayName(checkpoint.createdAt, now)
    const last = days.at(-1)
    if (last?.day === day) last.checkpoints.push(checkpoint)
    else days.push({ day, checkpoints: [checkpoint] })
  }
  return days
}
