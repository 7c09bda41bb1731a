// On or off, at once. The word stands beside it; the knob is no colour alone: it moves.
import { cx } from '@/util/class'

export function Switch({
  label,
  on,
  disabled = false,
  onChange,
}: {
  /** Its name, read aloud. */
  label: string
  on: boolean
  disabled?: boolean
  onChange: (on: boolean) => void
}) {
  return (
    <button
      type="button"
      role="switch"
      aria-checked={on}
      aria-label={label}
      disabled={disabled}
      onClick={() => onChange(!on)}
      className="flex h-7 shrink-0 items-center rounded-full px-0.5 disabled:opacity-45 max-md:h-10"
    >
      <span
        className={cx(
          'flex h-4 w-7 items-center rounded-full border px-px',
          on ? 'justify-end border-moss bg-moss' : 'justify-start border-line-strong bg-sunk',
        )}
      >
        <span className={cx('size-3 rounded-full', on ? 'bg-moss-ink' : 'bg-ink-3')} />
      </span>
    </button>
  )
}
