// The egress levels, each wider than those before it.
import type { EgressAnswer, EgressChange, EgressLevel } from '@/api/machine-types'

export const LEVELS = [
  { value: 'none', label: 'Models only' },
  { value: 'allow-list', label: 'Allow-list' },
  { value: 'open', label: 'Open' },
] as const satisfies readonly { value: EgressLevel; label: string }[]

export const LABEL = Object.fromEntries(LEVELS.map(({ value, label }) => [value, label])) as Record<
  EgressLevel,
  string
>

const width = (level: EgressLevel) => LEVELS.findIndex(({ value }) => value === level)

export const wider = (one: EgressLevel, other: EgressLevel) => width(one) > width(other)

/** What a change will make of it, until the server has said so. */
export function changed(egress: EgressAnswer, change: EgressChange): EgressAnswer {
  const level = change.level ?? egress.level
  const ceiling = change.ceiling ?? egress.ceiling
  const rules = change.rules ?? egress.rules
  return { ...egress, level, rules, ceiling, inForce: wider(level, ceiling) ? ceiling : level }
}
