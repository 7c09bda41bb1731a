// What the agent is at right now, in one line above the composer; also spoken, politely.
import type { Transcript } from '@/api/transcript/types'
import { useOpenPanel } from '@/hooks/dock'
import { Button } from '@/ui/button'
import { Glyph } from '@/ui/glyph'
import { Elapsed, useNow } from './elapsed'

export function WorkingLine({
  transcript,
  working,
}: {
  transcript: Transcript | null
  working: boolean
}) {
  const openPanel = useOpenPanel()
  const waiting = transcript?.status === 'waiting'
  const asks = transcript ? asksFor(transcript) : null
  // A branch that is left behind is summed up while the agent rests.
  const busy = working || (transcript?.compacting ?? false)
  const words = transcript && busy && !asks ? wordsFor(transcript) : null
  return (
    <>
      {asks && (
        <div className="mx-auto flex w-full max-w-[700px] shrink-0 items-center gap-2 px-5 py-1 text-amber-text max-md:px-4">
          <Glyph shape="ask" tone="amber" />
          <span className="min-w-0 grow text-pretty">{asks}</span>
          <Button onClick={() => openPanel({ kind: 'cost' })}>Open cost</Button>
        </div>
      )}
      {words && (
        <div className="mx-auto flex h-7 w-full max-w-[700px] shrink-0 items-center gap-2 px-5 text-ink-2 max-md:px-4">
          <Glyph shape="disc" tone="moss" pulse />
          <span className="truncate">{words}</span>
          {transcript?.retry ? (
            <Countdown until={transcript.retry.until} />
          ) : (
            transcript?.workingSince && <Elapsed since={transcript.workingSince} />
          )}
        </div>
      )}
      <div role="status" aria-live="polite" className="sr-only">
        {asks
          ? 'The agent waits until you raise the budget.'
          : waiting
            ? 'The agent needs your answer.'
            : working
              ? 'The agent works.'
              : transcript
                ? 'The agent is done.'
                : ''}
      </div>
    </>
  )
}

/** What a person has to do before it goes on, beside answering a question. */
function asksFor({ status, retry, question }: Transcript): string | null {
  if (retry?.asks) return retry.why
  // A page that came later does not know which budget it is; its panel does.
  return status === 'waiting' && !question && !retry
    ? 'A budget is spent. Raise it, and the agent goes on where it stopped.'
    : null
}

/** What waits for as long as it must says so with the largest number there is. */
const ENDLESS = 2 ** 32 - 1

function wordsFor(transcript: Transcript): string {
  const { retry, compacting, checking, rows } = transcript
  if (retry && retry.maxAttempts >= ENDLESS) return `Waiting (${retry.why}). Asking again`
  if (retry) {
    return `The model call failed (${retry.why}). Trying again, ${retry.attempt} of ${retry.maxAttempts},`
  }
  if (checking) return `Checking the work with ${checking}`
  if (compacting) return 'Summing up the conversation'
  const last = rows.at(-1)
  // The row just above says what runs.
  if (last?.kind === 'tool' && (last.state === 'running' || last.state === 'calling')) {
    return 'Working'
  }
  if (last?.kind === 'text') return 'Writing'
  return 'Thinking'
}

function Countdown({ until }: { until: number }) {
  const seconds = Math.max(0, Math.ceil((until - useNow()) / 1000))
  return <span className="tnum shrink-0">{seconds > 0 ? `in ${seconds} s` : 'now'}</span>
}
