// Dialogs. `ask before` dialogs put the focus on the safe button.
import { Dialog as Radix } from 'radix-ui'
import type { ReactNode } from 'react'
import { cx } from '@/util/class'
import { Button } from './button'

export function Dialog({
  open,
  onOpenChange,
  title,
  note,
  className,
  children,
}: {
  open: boolean
  onOpenChange: (open: boolean) => void
  title: string
  note?: ReactNode
  className?: string
  children?: ReactNode
}) {
  return (
    <Radix.Root open={open} onOpenChange={onOpenChange}>
      <Radix.Portal>
        <Radix.Overlay className="fixed inset-0 z-40 bg-scrim" />
        <Radix.Content
          {...(note ? {} : { 'aria-describedby': undefined })}
          className={cx(
            'appear fixed left-1/2 z-40 -translate-x-1/2 rounded-lg border bg-raised p-4 shadow-float',
            className ?? 'top-[18vh] w-[min(440px,calc(100vw-24px))]',
          )}
        >
          <Radix.Title className="text-md font-semibold">{title}</Radix.Title>
          {note && (
            <Radix.Description asChild>
              <div className="mt-1 text-ink-2">{note}</div>
            </Radix.Description>
          )}
          {children}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  )
}

/** Asks before something is destroyed. Enter does the safe thing: it cancels. */
export function Confirm({
  open,
  title,
  touches,
  verb,
  onConfirm,
  onClose,
}: {
  open: boolean
  title: string
  /** What it will touch, in words. */
  touches: ReactNode
  verb: string
  onConfirm: () => void
  onClose: () => void
}) {
  return (
    <Dialog open={open} onOpenChange={(next) => !next && onClose()} title={title} note={touches}>
      <div className="mt-4 flex justify-end gap-2">
        {/* The safe button takes the focus: the person asked for this dialog just now. */}
        {/* oxlint-disable-next-line jsx-a11y/no-autofocus */}
        <Button autoFocus onClick={onClose}>
          Cancel
        </Button>
        <Button
          variant="danger"
          onClick={() => {
            onConfirm()
            onClose()
          }}
        >
          {verb}
        </Button>
      </div>
    </Dialog>
  )
}
