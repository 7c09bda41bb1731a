// Several runs of one prompt side by side: how each stands, what it changed, checked and cost. One is kept, or
// all are dropped.
import { useQueries, useQuery } from '@tanstack/react-query'
import { useEffect, useRef, useState } from 'react'
import { wordsOf } from '@/api/http'
import type { Candidate, CandidateDiff, Comparison } from '@/api/runs/comparisons'
import { isOver } from '@/api/runs/types'
import { comparisonLook } from '@/components/comparison-words'
import { LookGlyph } from '@/components/project-state'
import { useComparisonActions } from '@/hooks/comparisons'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { Button, IconButton } from '@/ui/button'
import { Confirm } from '@/ui/dialog'
import { Failure, Skeleton, Strip } from '@/ui/state'
import { cx } from '@/util/class'
import { plural } from '@/util/format'
import { CandidateColumn, type DiffState } from './compare-column'
import { CompareFiles } from './compare-files'
import { KeepDialog } from './keep-dialog'
import { Prompt } from './run-prompt'

export function CompareView({
  comparisonId,
  focused,
  onBack,
  onRun,
}: {
  comparisonId: string
  /** A person came here by hand. */
  focused: boolean
  onBack: () => void
  /** Shows a run of this project. */
  onRun: (run: string) => void
}) {
  const { id } = useProject()
  const { data: now, error, isPending, refetch } = useQuery(queries.comparison(id, comparisonId))
  const [keeps, setKeeps] = useState<Candidate | null>(null)
  const [drops, setDrops] = useState(false)
  const { keep, drop } = useComparisonActions(id)
  const diffs = useDiffs(id, now)
  if (isPending) return <Skeleton className="p-4" words="Reading the comparison…" />
  if (!now) {
    return (
      <Failure
        title="The comparison could not be read"
        message={wordsOf(error)}
        kept="Its candidates go on: the server keeps them."
        action={
          <>
            <Button onClick={() => void refetch()}>Try again</Button>
            <Button onClick={onBack}>All runs</Button>
          </>
        }
      />
    )
  }
  const { status, candidates } = now
  const deciding = keep.isPending || drop.isPending || status === 'keeping' || status === 'dropping'
  const keptRun = status === 'kept' ? now.keptRunId : null
  return (
    <>
      <Head
        now={now}
        focused={focused}
        busy={deciding}
        onBack={onBack}
        onDrop={() => setDrops(true)}
      />
      {error && <Strip tone="amber">Not read anew: {wordsOf(error)}</Strip>}
      <div
        // Scrolled by keyboard too.
        // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
        tabIndex={0}
        role="group"
        aria-label="Runs side by side"
        className="@container min-h-0 grow overflow-y-auto -outline-offset-2"
      >
        <div className="mx-auto flex max-w-[1400px] flex-col gap-4 px-5 py-4 max-md:px-4">
          <Prompt text={now.prompt} />
          <Told now={now} />
          {keptRun && (
            <p>
              The project has the state of the candidate that was kept.{' '}
              <button
                type="button"
                className="text-blue hover:underline"
                onClick={() => onRun(keptRun)}
              >
                Show its run
              </button>
            </p>
          )}
          <ul
            className="grid @[560px]:auto-cols-[minmax(172px,1fr)] @[560px]:grid-flow-col @[560px]:grid-rows-[repeat(6,auto)] @[560px]:overflow-x-auto @[560px]:pb-1"
            // Scrolled by keyboard too, where nothing in it is to be pressed.
            // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
            tabIndex={0}
            aria-label="Candidates"
          >
            {candidates.map((candidate) => (
              <CandidateColumn
                key={candidate.runId}
                comparison={now}
                candidate={candidate}
                diff={diffs.get(candidate.runId)}
                busy={deciding}
                onKeep={() => setKeeps(candidate)}
              />
            ))}
          </ul>
          <CompareFiles comparison={now} diffs={ready(diffs)} />
        </div>
      </div>
      {keeps && (
        <KeepDialog
          comparison={now}
          candidate={keeps}
          onKeep={() => keep.mutate({ comparison: now.id, candidate: keeps })}
          onClose={() => setKeeps(null)}
        />
      )}
      <Confirm
        open={drops}
        title={`Drop all ${candidates.length} candidates?`}
        touches="Their copies of the project are deleted, with their machines, files and conversations. The project itself stays as it is."
        verb="Drop all"
        onConfirm={() => drop.mutate(now.id)}
        onClose={() => setDrops(false)}
      />
    </>
  )
}

/** Of each candidate whose run is over and whose fork is there. */
function useDiffs(id: string, now: Comparison | undefined): ReadonlyMap<string, DiffState> {
  const over = (now?.candidates ?? []).filter(
    ({ run, projectId }) => run && isOver(run) && projectId !== null,
  )
  return useQueries({
    queries: over.map(({ runId }) => queries.candidateDiff(id, now?.id ?? '', runId)),
    combine: (results) =>
      new Map(results.map(({ data, error }, index) => [over[index]?.runId ?? '', { data, error }])),
  })
}

function ready(diffs: ReadonlyMap<string, DiffState>): ReadonlyMap<string, CandidateDiff> {
  return new Map([...diffs].flatMap(([run, { data }]) => (data ? [[run, data] as const] : [])))
}

function Head({
  now,
  focused,
  busy,
  onBack,
  onDrop,
}: {
  now: Comparison
  focused: boolean
  busy: boolean
  onBack: () => void
  onDrop: () => void
}) {
  const title = useRef<HTMLHeadingElement>(null)
  const look = comparisonLook(now)
  useEffect(() => {
    if (focused) title.current?.focus()
  }, [focused])
  return (
    <div className="flex h-10 shrink-0 items-center gap-2 border-b pr-2 pl-1.5 max-md:h-12">
      <IconButton icon="back" label="All runs" onClick={onBack} />
      <h2 ref={title} tabIndex={-1} className="shrink-0 font-semibold outline-none">
        Compare {plural(now.candidates.length, 'run')}
      </h2>
      <span role="status" className="flex min-w-0 items-center gap-1.5">
        <LookGlyph look={look} />
        <span className={cx('truncate', look.tone === 'amber' && 'text-amber-text')}>
          {look.word}
        </span>
      </span>
      {(now.status === 'open' || now.status === 'making') && (
        <Button className="ml-auto" icon="trash" disabled={busy} onClick={onDrop}>
          Drop all…
        </Button>
      )}
    </div>
  )
}

/** What is to be known of it before its candidates are looked at. */
function Told({ now: { status, error } }: { now: Comparison }) {
  if (status === 'making') {
    return <p className="text-ink-2">The project is being copied, once for each run.</p>
  }
  if (status === 'keeping') {
    return (
      <p className="text-ink-2">
        The project takes over the candidate’s state: its machine starts anew in a moment.
      </p>
    )
  }
  if (!error) return null
  return (
    <Failure
      compact
      title={status === 'open' ? 'The last step failed' : 'The candidates could not be made'}
      message={error}
      kept={status === 'open' ? 'The candidates are still there.' : 'The project is as it was.'}
    />
  )
}
