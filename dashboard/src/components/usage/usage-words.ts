// Usage in words: what a row stands for, what it cost, which days a span has.
import type { UsageBy, UsageFigures, UsageRow } from '@/api/usage'
import { count, money, plural } from '@/util/format'

const DAY_MS = 86_400_000

/** Days that can be looked back over. */
export const SPANS = [7, 30, 90] as const
export type Span = (typeof SPANS)[number]

/** `2026-11-21`, in UTC as the server counts. */
function dayOf(at: number): string {
  return new Date(at).toISOString().slice(0, 10)
}

/** The first of so many days, today included. */
export function firstDay(span: Span, now: number): string {
  return dayOf(now - (span - 1) * DAY_MS)
}

/** Every day from one to another. */
export function daysFrom(from: string, to: string): string[] {
  const days: string[] = []
  for (let at = Date.parse(from); at <= Date.parse(to); at += DAY_MS) days.push(dayOf(at))
  return days
}

/** `US$ 1.20`, `US$ 1.20 and more`, `not known`. */
export function costWords({ costUsd, unpriced, calls }: UsageFigures): string {
  if (calls === 0) return money(0)
  if (costUsd === null) return 'not known'
  return unpriced > 0 ? `${money(costUsd)} and more` : money(costUsd)
}

/** `42 calls, 3 failed`. */
export function callWords({ calls, failed }: UsageFigures): string {
  return failed > 0 ? `${plural(calls, 'call')}, ${failed} failed` : plural(calls, 'call')
}

/** `1.2M in, 300k cached, 45k out`. */
export function tokenWords(figures: UsageFigures): string {
  const cached = figures.cacheRead + figures.cacheWrite
  const parts = [
    `${count(figures.input)} in`,
    cached > 0 ? `${count(cached)} cached` : null,
    `${count(figures.output)} out`,
  ]
  return parts.filter((part) => part !== null).join(', ')
}

/** What a row stands for. */
export function rowName(by: UsageBy, row: UsageRow): string {
  const { key, name } = row
  if (by === 'model') return key ?? `${row.provider ?? 'Some provider'}, model unknown`
  if (key !== null) return name ?? key
  if (by === 'project') return 'Programs outside'
  return 'Other programs'
}
