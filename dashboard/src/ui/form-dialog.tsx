// A dialog that is filled in: its fields, and below them Cancel and what is to be done.
import { useId, type ReactNode } from 'react'
import { cx } from '@/util/class'
import { Button } from './button'
import { Dialog } from './dialog'
import type { IconName } from './icons'

export function FormDialog({
  title,
  note,
  className,
  fields,
  verb,
  doing,
  icon,
  busy,
  disabled = false,
  below,
  onSubmit,
  onClose,
  children,
}: {
  title: string
  note?: ReactNode
  className?: string
  /** How the fields are laid out. */
  fields?: string
  verb: string
  /** The verb while it is being done. */
  doing: string
  icon?: IconName
  busy: boolean
  disabled?: boolean
  /** Between the fields and the buttons. */
  below?: ReactNode
  /** Never while it is busy. */
  onSubmit: () => void
  onClose: () => void
  children: ReactNode
}) {
  const form = useId()
  return (
    <Dialog
      open
      onOpenChange={(open) => !open && onClose()}
      title={title}
      {...(note === undefined ? {} : { note })}
      {...(className === undefined ? {} : { className })}
    >
      <form
        id={form}
        className={cx(fields ?? 'mt-3 flex flex-col gap-3')}
        onSubmit={(event) => {
          event.preventDefault()
          if (!busy) onSubmit()
        }}
      >
        {children}
      </form>
      {below}
      <div className="mt-3 flex justify-end gap-2">
        <Button onClick={onClose}>Cancel</Button>
        <Button
          variant="primary"
          type="submit"
          form={form}
          disabled={disabled || busy}
          {...(icon === undefined ? {} : { icon })}
        >
          {busy ? doing : verb}
        </Button>
      </div>
    </Dialog>
  )
}
