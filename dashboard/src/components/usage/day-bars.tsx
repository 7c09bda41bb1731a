// Cost by day as bars, one each; tokens where no cost is known.
import type { Usage, UsageFigures } from '@/api/usage'
import { cx } from '@/util/class'
import { callWords, costWords, daysFrom, tokenWords } from './usage-words'

/** Shown of a day with calls that is far below the highest. */
const BAR_MIN_PERCENT = 3

const dayName = (day: string) =>
  new Date(day).toLocaleDateString(undefined, { day: 'numeric', month: 'short', timeZone: 'UTC' })

export function DayBars({ usage }: { usage: Usage }) {
  const byDay = new Map(usage.rows.map((row) => [row.key, row]))
  const days = daysFrom(usage.from, usage.to)
  const isMoney = (usage.total.costUsd ?? 0) > 0
  const size = (row: UsageFigures | undefined) =>
    row ? (isMoney ? (row.costUsd ?? 0) : row.input + row.cacheRead + row.output) : 0
  const highest = Math.max(...days.map((day) => size(byDay.get(day))), Number.MIN_VALUE)
  const top = days.find((day) => size(byDay.get(day)) === highest)
  const topRow = top === undefined ? undefined : byDay.get(top)
  const most = topRow && (isMoney ? costWords(topRow) : tokenWords(topRow))
  return (
    <figure className="m-0">
      <div
        role="img"
        aria-label={`${isMoney ? 'Cost' : 'Tokens'} by day, ${dayName(usage.from)} to ${dayName(usage.to)}${
          top && most ? `; the most on ${dayName(top)}: ${most}` : ''
        }`}
        className="flex h-20 items-end gap-px border-b"
      >
        {days.map((day) => {
          const row = byDay.get(day)
          const part = (size(row) / highest) * 100
          const words = row ? `${costWords(row)}, ${callWords(row)}` : 'nothing asked'
          return (
            <div
              key={day}
              title={`${dayName(day)}: ${words}`}
              className="flex h-full min-w-0 flex-1 items-end"
            >
              <div
                className={cx('w-full rounded-t-xs', row && 'bg-ink-3/70')}
                style={{ height: row ? `${Math.max(BAR_MIN_PERCENT, part)}%` : 0 }}
              />
            </div>
          )
        })}
      </div>
      <figcaption className="mt-1 flex justify-between text-sm text-ink-3">
        <span>{dayName(usage.from)}</span>
        {most && <span className="tnum">the most on a day: {most}</span>}
        <span>{dayName(usage.to)}</span>
      </figcaption>
    </figure>
  )
}
