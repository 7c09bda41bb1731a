// A small floating surface that opens from a button.
import { Popover as Radix } from 'radix-ui'
import type { ReactNode } from 'react'
import { cx } from '@/util/class'

export function Popover({
  trigger,
  open,
  onOpenChange,
  align = 'start',
  side = 'bottom',
  className,
  label,
  modal = false,
  children,
}: {
  trigger: ReactNode
  open?: boolean
  onOpenChange?: (open: boolean) => void
  align?: 'start' | 'end'
  side?: 'top' | 'bottom'
  className?: string
  label: string
  /** For one in a dialog, which keeps the wheel to itself otherwise. */
  modal?: boolean
  children: ReactNode
}) {
  return (
    <Radix.Root
      modal={modal}
      {...(open === undefined ? {} : { open })}
      {...(onOpenChange ? { onOpenChange } : {})}
    >
      <Radix.Trigger asChild>{trigger}</Radix.Trigger>
      <Radix.Portal>
        <Radix.Content
          aria-label={label}
          align={align}
          side={side}
          sideOffset={4}
          collisionPadding={8}
          className={cx(
            'appear z-40 max-h-(--radix-popover-content-available-height) max-w-[calc(100vw-16px)] overflow-hidden rounded-lg border bg-raised shadow-float',
            className,
          )}
        >
          {children}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  )
}
