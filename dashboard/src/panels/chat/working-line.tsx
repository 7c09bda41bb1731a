// What the agent is at right now, in one line above the composer; also spoken, politely.
import { useEffect, useState } from 'react'
import type { Transcript } from '@/api/transcript/types'
import { Glyph } from '@/ui/glyph'
import { duration } from '@/util/format'

export function WorkingLine({
  transcript,
  working,
}: {
  transcript: Transcript | null
  working: boolean
}) {
  const waiting = transcript?.status === 'waiting'
  const words = transcript && working ? wordsFor(transcript) : null
  return (
    <>
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
        {waiting
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

function wordsFor(transcript: Transcript): string {
  const { retry, compacting, rows } = transcript
  if (retry) {
    return `The model call failed (${retry.why}). Trying again, ${retry.attempt} of ${retry.maxAttempts},`
  }
  if (compacting) return 'Shortening the conversation'
  const last = rows.at(-1)
  // The row just above says what runs.
  if (last?.kind === 'tool' && (last.state === 'running' || last.state === 'calling')) {
    return 'Working'
  }
  if (last?.kind === 'text') return 'Writing'
  return 'Thinking'
}

const TICK_MS = 1000

function useNow(): number {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), TICK_MS)
    return () => clearInterval(timer)
  }, [])
  return now
}

function Elapsed({ since }: { since: number }) {
  const seconds = Math.max(0, Math.floor((useNow() - since) / 1000))
  return (
    <span className="tnum ml-auto shrink-0 text-sm text-ink-3">
      {seconds < 60 ? `${seconds} s` : duration(seconds * 1000)}
    </span>
  )
}

function Countdown({ until }: { until: number }) {
  const seconds = Math.max(0, Math.ceil((until - useNow()) / 1000))
  return <span className="tnum shrink-0">{seconds > 0 ? `in ${seconds} s` : 'now'}</span>
}
