// One candidate of a comparison, as a column beside the others: its rows line up with theirs.
import { useNavigate } from '@tanstack/react-router'
import type { ReactNode } from 'react'
import { wordsOf } from '@/api/http'
import type { Candidate, CandidateCheck, CandidateDiff, Comparison } from '@/api/runs/comparisons'
import { isOver } from '@/api/runs/types'
import { server } from '@/api/server'
import {
  candidateCost,
  candidateLook,
  candidateModel,
  diffWords,
} from '@/components/comparison-words'
import { LookGlyph } from '@/components/project-state'
import { Prose } from '@/components/prose'
import { runCost } from '@/components/run-words'
import { Elapsed } from '@/panels/chat/elapsed'
import { openIn } from '@/hooks/opening'
import { Button, IconButton } from '@/ui/button'
import { Glyph, type Shape, type Tone } from '@/ui/glyph'
import { toast } from '@/ui/toasts'
import { cx } from '@/util/class'
import { count, duration, momentOf } from '@/util/format'

/** What is known of a candidate's files. */
export type DiffState = { data: CandidateDiff | undefined; error: Error | null }

export function CandidateColumn({
  comparison,
  candidate,
  diff,
  busy,
  onKeep,
}: {
  comparison: Comparison
  candidate: Candidate
  diff: DiffState | undefined
  /** Something was decided just now. */
  busy: boolean
  onKeep: () => void
}) {
  const { number, run, projectId, kept } = candidate
  const look = candidateLook(candidate, comparison.status)
  const model = candidateModel(candidate) ?? 'the project’s model'
  const over = run !== null && isOver(run)
  const gone = projectId === null && comparison.status !== 'making'
  return (
    <li
      aria-label={`Candidate ${number}`}
      className={cx(
        'min-w-0 border-t py-3 @[560px]:row-span-6 @[560px]:grid @[560px]:grid-rows-subgrid @[560px]:border-t-0 @[560px]:border-l @[560px]:py-0 @[560px]:pr-3 @[560px]:pl-4 @[560px]:first:border-l-0 @[560px]:first:pl-0',
        gone && !kept && 'text-ink-3',
      )}
    >
      <header className="min-w-0 pb-2">
        <div className="flex min-w-0 items-center gap-2">
          <h3 className="shrink-0 font-semibold">Candidate {number}</h3>
          <LookGlyph look={look} />
          <span className={cx('truncate', look.tone === 'amber' && 'text-amber-text')}>
            {kept ? `${look.word}, kept` : look.word}
          </span>
        </div>
        <p className="truncate text-sm text-ink-3" title={model}>
          {model}
        </p>
      </header>
      <Facts candidate={candidate} />
      {gone ? (
        <Part title="Copy">
          {kept ? 'The project has its state.' : <Quiet>Deleted, with all that it held.</Quiet>}
        </Part>
      ) : (
        <>
          <Part title="Changes">
            {!over ? (
              <Quiet>Not known until it is done.</Quiet>
            ) : diff?.data ? (
              <span className="tnum">
                {diffWords(diff.data)}
                {!diff.data.counted && <Quiet> and files that are not counted in lines</Quiet>}
              </span>
            ) : diff?.error ? (
              <span className="break-words text-red-text">{wordsOf(diff.error)}</span>
            ) : (
              <Quiet>Comparing…</Quiet>
            )}
          </Part>
          <Part title="Checks">
            <Checks checks={candidate.checks ?? []} over={over} />
          </Part>
        </>
      )}
      {(run || !gone) && (
        <Part title={run?.status === 'error' ? 'Error' : 'Says'}>
          {run?.status === 'error' && run.error ? (
            <p className="break-words whitespace-pre-wrap text-red-text">{run.error}</p>
          ) : run?.output ? (
            <div className="max-h-48 overflow-y-auto">
              <Prose text={run.output} />
            </div>
          ) : (
            <Quiet>{over ? 'Nothing.' : 'Nothing yet.'}</Quiet>
          )}
        </Part>
      )}
      <Actions
        comparison={comparison}
        candidate={candidate}
        over={over}
        busy={busy}
        onKeep={onKeep}
      />
    </li>
  )
}

function Quiet({ children }: { children: ReactNode }) {
  return <span className="text-ink-3">{children}</span>
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className="min-w-0 py-1.5">
      <h4 className="text-sm text-ink-3">{title}</h4>
      {children}
    </div>
  )
}

function Facts({ candidate }: { candidate: Candidate }) {
  const { run, durationMs } = candidate
  const cost = runCost(candidateCost(candidate))
  const works = run?.status === 'running' && run.waitsFor === null && run.startedAt
  const unknown = <Quiet>–</Quiet>
  const facts: readonly (readonly [string, ReactNode])[] = [
    [
      'Time',
      durationMs !== null ? (
        duration(durationMs)
      ) : works && run.startedAt ? (
        <Elapsed key="elapsed" since={momentOf(run.startedAt)} />
      ) : (
        unknown
      ),
    ],
    ['Cost', cost ?? unknown],
    ['Tokens', run?.usage ? count(run.usage.totalTokens) : unknown],
  ]
  return (
    <dl className="flex flex-wrap gap-x-5 gap-y-1 py-1.5">
      {facts.map(([term, fact]) => (
        <div key={term}>
          <dt className="text-sm text-ink-3">{term}</dt>
          <dd className="tnum">{fact}</dd>
        </div>
      ))}
    </dl>
  )
}

const RESULTS: Record<CandidateCheck['result'], { shape: Shape; tone: Tone }> = {
  passed: { shape: 'tick', tone: 'moss' },
  failed: { shape: 'cross', tone: 'red' },
  undecided: { shape: 'ring', tone: 'quiet' },
}

function Checks({ checks, over }: { checks: readonly CandidateCheck[]; over: boolean }) {
  if (checks.length === 0) {
    return <Quiet>{over ? 'None ran.' : 'None ran yet.'}</Quiet>
  }
  return (
    <ul>
      {checks.map(({ receipt, command, result, durationMs }) => (
        <li key={receipt} className="flex min-h-6 min-w-0 items-center gap-2">
          <Glyph {...RESULTS[result]} title={result} />
          <code className="min-w-0 truncate text-sm" title={command}>
            {command}
          </code>
          <span className="tnum ml-auto shrink-0 pl-2 text-sm text-ink-3">
            {duration(durationMs)}
          </span>
        </li>
      ))}
    </ul>
  )
}

function Actions({
  comparison,
  candidate: { number, projectId, run },
  over,
  busy,
  onKeep,
}: {
  comparison: Comparison
  candidate: Candidate
  over: boolean
  busy: boolean
  onKeep: () => void
}) {
  const navigate = useNavigate()
  if (projectId === null || comparison.status === 'making') return <div />
  const look = async () => {
    // Opened at once: a window that opens after an answer counts as unasked for.
    const tab = window.open('about:blank', '_blank')
    try {
      const { url } = await server.preview(projectId, null)
      if (tab) {
        tab.opener = null
        tab.location.href = url
      }
    } catch (error) {
      tab?.close()
      toast.error('The app could not be opened', wordsOf(error))
    }
  }
  const talk = () => {
    if (run?.sessionId) openIn(projectId, { kind: 'chat', sessionId: run.sessionId })
    void navigate({ to: '/projects/$id', params: { id: projectId } })
  }
  return (
    <div className="flex items-center gap-1 pt-2">
      {comparison.status === 'open' && over && (
        <Button
          icon="check"
          aria-label={`Keep candidate ${number}…`}
          disabled={busy}
          onClick={onKeep}
        >
          Keep…
        </Button>
      )}
      <IconButton
        icon="chat"
        label={`Open the conversation of candidate ${number}`}
        onClick={talk}
      />
      <IconButton
        icon="open"
        label={`Open the preview of candidate ${number}`}
        onClick={() => void look()}
      />
    </div>
  )
}
