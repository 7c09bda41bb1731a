// Form parts: a label above, a control, a quiet line or an error below.
import { useId, type InputHTMLAttributes, type ReactNode, type Ref } from 'react'
import { cx } from '@/util/class'

export const CONTROL =
  'h-8 w-full rounded-md border bg-surface px-2.5 hover:border-line-strong focus:border-moss focus:outline-none disabled:opacity-55 max-md:h-10 aria-invalid:border-red'

interface InputProps extends InputHTMLAttributes<HTMLInputElement> {
  ref?: Ref<HTMLInputElement>
  mono?: boolean
}

/** A line of text. */
export function Input({ mono, className, ...rest }: InputProps) {
  return (
    <input
      autoComplete="off"
      spellCheck={false}
      {...rest}
      className={cx(CONTROL, mono && 'font-mono text-sm', className)}
    />
  )
}

/** Label, control, note. The child function gets the ids that tie them together. */
export function Field({
  label,
  note,
  error,
  children,
}: {
  label: string
  note?: ReactNode
  error?: string | null
  children: (ids: { id: string; 'aria-describedby': string; 'aria-invalid': boolean }) => ReactNode
}) {
  const id = useId()
  const noteId = `${id}-note`
  return (
    <div className="flex flex-col gap-1">
      <label htmlFor={id} className="text-sm font-medium text-ink-2">
        {label}
      </label>
      {children({ id, 'aria-describedby': noteId, 'aria-invalid': Boolean(error) })}
      <div id={noteId} className={cx('text-sm', error ? 'text-red-text' : 'text-ink-3')}>
        {error ?? note}
      </div>
    </div>
  )
}

/** A choice of a few, all visible. */
export function Segments<T extends string>({
  label,
  value,
  options,
  disabled,
  onChange,
}: {
  label: string
  value: T
  options: readonly { value: T; label: string; disabled?: boolean }[]
  disabled?: boolean
  onChange: (value: T) => void
}) {
  const name = useId()
  return (
    <div
      role="radiogroup"
      aria-label={label}
      className="inline-flex flex-wrap gap-0.5 rounded-md bg-sunk p-0.5"
    >
      {options.map((option) => (
        <label
          key={option.value}
          className={cx(
            'relative flex h-7 items-center rounded-sm px-2.5 select-none has-focus-visible:outline-2 has-focus-visible:outline-moss max-md:h-9',
            option.value === value
              ? 'bg-raised text-ink shadow-[0_0_0_1px_var(--line)]'
              : 'text-ink-2 hover:text-ink',
            (disabled || option.disabled) && 'opacity-55',
          )}
        >
          <input
            type="radio"
            name={name}
            className="sr-only"
            disabled={disabled || option.disabled}
            checked={option.value === value}
            onChange={() => onChange(option.value)}
          />
          {option.label}
        </label>
      ))}
    </div>
  )
}
