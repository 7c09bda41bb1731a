// How full the model's context is, and what can be done about it.
import { useState } from 'react'
import type { Transcript } from '@/api/transcript/types'
import { Button } from '@/ui/button'
import { Popover } from '@/ui/popover'
import { count } from '@/util/format'

/** Amber when little is left. */
const FULL_FROM = 0.8

export function ContextMeter({
  transcript,
  disabled,
  onCompact,
}: {
  transcript: Transcript
  disabled: boolean
  onCompact: () => void
}) {
  const [open, setOpen] = useState(false)
  const { contextTokens, contextWindow, compacting, status } = transcript
  if (!contextTokens || !contextWindow) return null
  const part = Math.min(1, contextTokens / contextWindow)
  const percent = Math.round(part * 100)
  const full = part >= FULL_FROM
  const busy = status === 'working' || compacting
  return (
    <Popover
      label="Context"
      align="end"
      open={open}
      onOpenChange={setOpen}
      className="w-72 p-3"
      trigger={
        <button
          type="button"
          aria-label={`Context: ${percent} % used${full ? ', nearly full' : ''}`}
          className="tnum flex h-7 shrink-0 items-center gap-1.5 rounded-md px-1.5 text-sm text-ink-3 hover:bg-hover max-md:h-9"
        >
          <span className="h-1 w-10 overflow-hidden rounded-full bg-press">
            <span
              className={`block h-full ${full ? 'bg-amber' : 'bg-ink-3'}`}
              style={{ width: `${Math.max(3, part * 100)}%` }}
            />
          </span>
          <span className={full ? 'text-amber-text' : ''}>
            {count(contextTokens)}
            <span className="max-md:hidden"> of {count(contextWindow)}</span>
          </span>
        </button>
      }
    >
      <h2 className="font-medium">Context, {percent} % used</h2>
      <p className="tnum text-sm text-ink-3">
        {contextTokens.toLocaleString()} of {contextWindow.toLocaleString()} tokens
      </p>
      <p className="mt-2 text-pretty text-ink-2">
        What the model sees of the conversation. Shortly before it is full, the older part is summed
        up for the model by itself. You still see all of it here.
      </p>
      <Button
        className="mt-3"
        disabled={disabled || busy}
        onClick={() => {
          setOpen(false)
          onCompact()
        }}
      >
        {compacting ? 'Compacting…' : 'Compact now'}
      </Button>
      {busy && !compacting && (
        <p className="mt-1 text-sm text-ink-3">It can be compacted when the agent is done.</p>
      )}
    </Popover>
  )
}
