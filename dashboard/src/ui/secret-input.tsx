// A value that is not shown: typed or pasted, also of several lines. Browsers neither keep nor offer it.
import type { TextareaHTMLAttributes } from 'react'
import { cx } from '@/util/class'
import { CONTROL } from './field'

/** A text area, because a field of one line would drop the line breaks of a key. */
export function SecretInput({ className, ...rest }: TextareaHTMLAttributes<HTMLTextAreaElement>) {
  return (
    <textarea
      rows={1}
      autoComplete="off"
      autoCorrect="off"
      autoCapitalize="off"
      spellCheck={false}
      data-1p-ignore=""
      data-lpignore="true"
      onKeyDown={(event) => {
        if (event.key !== 'Enter' || event.shiftKey) return
        // As in a field of one line.
        event.preventDefault()
        event.currentTarget.form?.requestSubmit()
      }}
      {...rest}
      className={cx(CONTROL, 'hidden-text h-8 resize-none overflow-hidden py-1.5', className)}
    />
  )
}
