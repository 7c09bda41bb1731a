// A model call that failed, in the provider's own words; or one that a person stopped.
import { useNavigate } from '@tanstack/react-router'
import type { ErrorRow } from '@/api/transcript/types'
import { useMachineState } from '@/hooks/machine'
import { Button } from '@/ui/button'
import { Failure } from '@/ui/state'

export function ErrorRowView({
  row,
  live,
  onRetry,
}: {
  row: ErrorRow
  /** It stands at the end: what was asked again later needs no button. */
  live: boolean
  onRetry: (() => void) | null
}) {
  const navigate = useNavigate()
  const { closed } = useMachineState()
  const isLive = live && onRetry !== null
  if (row.aborted) {
    return (
      <div className="flex min-h-7 items-center gap-2 text-ink-3">
        You stopped it here.
        {isLive && !closed && (
          <Button variant="ghost" onClick={onRetry}>
            Go on
          </Button>
        )}
      </div>
    )
  }
  if (!isLive) {
    return <div className="py-1 break-words text-ink-3">The model call failed: {row.text}</div>
  }
  return (
    <Failure
      compact
      title={`The model call failed${row.model ? ` (${row.model})` : ''}`}
      message={row.text}
      kept="What was done before it is kept."
      action={
        <>
          {!closed && <Button onClick={onRetry}>Try again</Button>}
          <Button
            variant="ghost"
            onClick={() => void navigate({ to: '/settings', hash: 'providers' })}
          >
            Settings
          </Button>
        </>
      }
    />
  )
}
