// Buttons. `primary` once per view, `danger` only for what destroys.
import type { ButtonHTMLAttributes, ReactNode, Ref } from 'react'
import { cx } from '@/util/class'
import { Icon, type IconName } from './icons'
import { Hint } from './tooltip'

type Variant = 'primary' | 'plain' | 'ghost' | 'danger'

const VARIANTS: Record<Variant, string> = {
  primary:
    'bg-moss text-moss-ink hover:bg-moss-strong active:bg-moss-strong font-medium disabled:bg-press disabled:text-ink-3 disabled:opacity-100',
  plain: 'border bg-surface hover:bg-hover active:bg-press',
  ghost: 'text-ink-2 hover:bg-hover hover:text-ink active:bg-press',
  danger: 'bg-red text-red-ink hover:brightness-110 font-medium',
}

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  variant?: Variant
  icon?: IconName
  ref?: Ref<HTMLButtonElement>
}

/** A button with words. */
export function Button({ variant = 'plain', icon, className, children, ...rest }: ButtonProps) {
  return (
    <button
      type="button"
      {...rest}
      className={cx(
        'inline-flex h-7 shrink-0 items-center justify-center gap-1.5 rounded-md px-2.5 whitespace-nowrap select-none',
        'disabled:pointer-events-none disabled:opacity-45 max-md:h-9',
        VARIANTS[variant],
        className,
      )}
    >
      {icon && <Icon name={icon} className="-ml-0.5" />}
      {children}
    </button>
  )
}

interface IconButtonProps extends Omit<ButtonProps, 'children' | 'icon'> {
  icon: IconName
  /** Its name: shown on hover, read aloud. */
  label: string
  keys?: string
  side?: 'top' | 'bottom' | 'right'
}

/** A button with an icon alone; the name shows on hover. */
export function IconButton({
  icon,
  label,
  keys,
  side,
  variant = 'ghost',
  className,
  ...rest
}: IconButtonProps) {
  return (
    <Hint text={label} {...(keys ? { keys } : {})} {...(side ? { side } : {})}>
      <button
        type="button"
        aria-label={label}
        {...rest}
        className={cx(
          'inline-flex size-7 shrink-0 items-center justify-center rounded-md select-none max-md:size-9',
          'disabled:pointer-events-none disabled:opacity-45',
          VARIANTS[variant],
          className,
        )}
      >
        <Icon name={icon} />
      </button>
    </Hint>
  )
}

/** A link that looks like a button. */
export function ButtonLink({
  href,
  icon,
  children,
  ...rest
}: {
  href: string
  icon?: IconName
  children: ReactNode
  download?: string | boolean
  target?: string
}) {
  return (
    <a
      href={href}
      {...rest}
      rel="noreferrer"
      className={cx(
        'inline-flex h-7 items-center gap-1.5 rounded-md px-2.5 whitespace-nowrap select-none max-md:h-9',
        VARIANTS.plain,
      )}
    >
      {icon && <Icon name={icon} className="-ml-0.5" />}
      {children}
    </a>
  )
}
