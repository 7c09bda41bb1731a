// The states that every screen has beside the good one: empty, loading, failed.
import { useEffect, useState, type ReactNode } from 'react'
import { cx } from '@/util/class'
import { Icon } from './icons'
import { Plot } from './mark'

/** Nothing here yet: what this place is for, one action, one example. */
export function Empty({
  title,
  children,
  action,
  drawing = true,
}: {
  title: string
  children?: ReactNode
  action?: ReactNode
  drawing?: boolean
}) {
  return (
    <div className="flex h-full flex-col items-center justify-center gap-1 p-6 text-center">
      {drawing && (
        <div className="mb-3">
          <Plot />
        </div>
      )}
      <h2 className="text-md font-semibold text-balance">{title}</h2>
      {children && <div className="max-w-96 text-pretty text-ink-2">{children}</div>}
      {action && <div className="mt-3 flex w-full flex-wrap justify-center gap-2">{action}</div>}
    </div>
  )
}

/** Something failed: what happened, what was kept, what to do, as buttons. */
export function Failure({
  title,
  message,
  kept,
  action,
  compact = false,
}: {
  title: string
  message: ReactNode
  kept?: ReactNode
  action?: ReactNode
  compact?: boolean
}) {
  return (
    <div
      role="alert"
      className={cx(
        'flex gap-2.5',
        compact
          ? 'rounded-md border border-l-2 border-l-red bg-surface px-3 py-2'
          : 'mx-auto h-full max-w-120 flex-col items-center justify-center p-6 text-center',
      )}
    >
      <Icon name="warn" className={cx('text-red-text', compact && 'mt-0.5')} />
      <div className="min-w-0">
        <div className="font-medium">{title}</div>
        <div className="overflow-wrap-anywhere break-words text-ink-2">{message}</div>
        {kept && <div className="text-ink-3">{kept}</div>}
        {action && (
          <div className={cx('mt-2 flex flex-wrap gap-2', !compact && 'justify-center')}>
            {action}
          </div>
        )}
      </div>
    </div>
  )
}

/** No sign of waiting before 300 ms; words after two seconds. */
const SKELETON_AFTER_MS = 300
const WORDS_AFTER_MS = 2000

/** True once the time has passed. */
export function useAfter(ms: number): boolean {
  const [passed, setPassed] = useState(false)
  useEffect(() => {
    const timer = setTimeout(() => setPassed(true), ms)
    return () => clearTimeout(timer)
  }, [ms])
  return passed
}

const WIDTHS = [62, 84, 48, 71] as const

/** Bars in the shape of what comes. `widths` are percentages. */
export function Skeleton({
  widths = WIDTHS,
  words = 'Loading…',
  className,
}: {
  widths?: readonly number[]
  words?: string
  className?: string
}) {
  const show = useAfter(SKELETON_AFTER_MS)
  const speak = useAfter(WORDS_AFTER_MS)
  return (
    <div aria-busy="true" className={cx('flex flex-col gap-2', className)}>
      {show &&
        widths.map((width, index) => (
          // Bars have no identity but their place.
          // oxlint-disable-next-line react/no-array-index-key
          <div key={index} className="h-3 rounded-sm bg-hover" style={{ width: `${width}%` }} />
        ))}
      {speak && (
        <div role="status" className="text-sm text-ink-3">
          {words}
        </div>
      )}
    </div>
  )
}

/** A quiet line across the top of a panel: offline, read-only, stopped. */
export function Strip({
  tone = 'quiet',
  children,
  action,
}: {
  tone?: 'quiet' | 'amber' | 'red'
  children: ReactNode
  action?: ReactNode
}) {
  return (
    <div
      role="status"
      className={cx(
        'flex min-h-8 shrink-0 items-center gap-2 border-b px-3 py-1 text-sm',
        tone === 'quiet' && 'bg-sunk text-ink-2',
        tone === 'amber' && 'bg-amber-soft text-amber-text',
        tone === 'red' && 'bg-red-soft text-red-text',
      )}
    >
      <span className="min-w-0 grow">{children}</span>
      {action}
    </div>
  )
}
