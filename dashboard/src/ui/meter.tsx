// How much of something is used: a bar beside its words; amber when little is left.
import { cx } from '@/util/class'

const FULL_FROM = 0.85

export function Meter({ part, label }: { part: number; label: string }) {
  const shown = Math.min(1, Math.max(0, part))
  return (
    <span
      role="meter"
      aria-label={label}
      aria-valuenow={Math.round(shown * 100)}
      aria-valuemin={0}
      aria-valuemax={100}
      className="block h-1 w-full overflow-hidden rounded-full bg-press"
    >
      <span
        className={cx('block h-full rounded-full', part >= FULL_FROM ? 'bg-amber' : 'bg-moss')}
        style={{ width: `${Math.max(1, shown * 100)}%` }}
      />
    </span>
  )
}
