// What the agent asks, as it waits for an answer and as it was answered. What is asked is in the rows.
import type { FormEvent, ReactNode } from 'react'
import type { ToolRow } from '@/api/transcript/types'
import { Glyph } from '@/ui/glyph'

/** Whether its call has ended, with an answer or without. */
export const isOver = (row: ToolRow): boolean =>
  row.state === 'done' || row.state === 'failed' || row.state === 'cut'

export function Answered({
  question,
  given,
  children,
}: {
  question: string
  /** Whether the agent got what it asked for. */
  given: boolean
  children: ReactNode
}) {
  return (
    <div className="border-l-2 pl-3">
      <div className="max-w-[72ch] text-md text-pretty text-ink-2">{question}</div>
      <div className="mt-0.5 flex items-baseline gap-2 text-md">
        <Glyph shape={given ? 'tick' : 'square'} tone={given ? 'moss' : 'quiet'} />
        <div className="max-w-[72ch] min-w-0">{children}</div>
      </div>
    </div>
  )
}

export function AskedForm({
  label,
  question,
  disabled,
  error,
  onSubmit,
  children,
}: {
  label?: string
  question: ReactNode
  disabled?: boolean
  /** Why it was not taken. */
  error: string | null
  onSubmit: () => void
  children: ReactNode
}) {
  return (
    <form
      onSubmit={(event: FormEvent) => {
        event.preventDefault()
        onSubmit()
      }}
      aria-label={label}
      className="rounded-md border border-l-2 border-l-amber bg-surface p-3"
    >
      <fieldset disabled={disabled} className="min-w-0">
        <div className="mb-2 flex gap-2">
          <span className="mt-1">
            <Glyph shape="ask" tone="amber" title="needs you" />
          </span>
          <span className="max-w-[72ch] text-md font-medium text-pretty">
            {question || 'Asking…'}
          </span>
        </div>
        {children}
        {error && (
          <div role="alert" className="mt-2 text-sm text-red-text">
            {error}
          </div>
        )}
      </fieldset>
    </form>
  )
}
