// The project's runs, the latest first.
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { wordsOf } from '@/api/http'
import { canCancel, isOver, type Run } from '@/api/runs/types'
import { LookGlyph } from '@/components/project-state'
import { runCost, runLook, runTook } from '@/components/run-words'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { useRunActions } from '@/hooks/runs'
import { Elapsed } from '@/panels/chat/elapsed'
import { Button, IconButton } from '@/ui/button'
import { Empty, Failure, Skeleton, Strip } from '@/ui/state'
import { Ago } from '@/ui/time'
import { cx } from '@/util/class'
import { duration, momentOf } from '@/util/format'
import { ComparisonList } from './comparison-list'

export function RunList({
  from,
  onShow,
  onCompare,
  onAsk,
}: {
  /** The run, or the comparison, that was looked at just before. */
  from: string | null
  onShow: (run: string) => void
  onCompare: (comparison: string) => void
  onAsk: () => void
}) {
  const { id } = useProject()
  const { data, error, isPending, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } =
    useInfiniteQuery(queries.runs(id))
  const { data: comparisons = [] } = useQuery(queries.comparisons(id))
  if (isPending) {
    return <Skeleton className="p-4" widths={[78, 40, 66, 44]} words="Reading the runs…" />
  }
  if (!data) {
    return (
      <Failure
        title="The runs could not be read"
        message={wordsOf(error)}
        kept="They go on: the server keeps them."
        action={<Button onClick={() => void refetch()}>Try again</Button>}
      />
    )
  }
  const runs = distinct(data.pages.flat())
  if (runs.length === 0 && comparisons.length === 0) {
    return (
      <Empty
        title="No runs yet"
        action={
          <Button variant="primary" icon="add" onClick={onAsk}>
            New run
          </Button>
        }
      >
        A run is work that is done without you: the agent plans, builds, checks, and commits what
        has changed. Say what is to be done, close the page, and come back to what came of it.
      </Empty>
    )
  }
  return (
    <>
      {error && <Strip tone="amber">Not read anew: {wordsOf(error)}</Strip>}
      <div className="flex h-10 shrink-0 items-center gap-2 border-b pr-2 pl-3 max-md:h-12">
        <span className="grow text-ink-2">Latest first</span>
        <Button icon="add" onClick={onAsk}>
          New run
        </Button>
      </div>
      <div className="min-h-0 grow overflow-y-auto">
        <ComparisonList comparisons={comparisons} from={from} onShow={onCompare} />
        <ol aria-label="Runs" className={cx('divide-y divide-line', runs.length > 0 && 'border-b')}>
          {runs.map((run) => (
            <RunRow
              key={run.id}
              run={run}
              focused={run.id === from}
              ends={canCancel(run, runs)}
              onShow={() => onShow(run.id)}
            />
          ))}
        </ol>
        {hasNextPage && (
          <div className="flex justify-center p-2">
            <Button
              variant="ghost"
              disabled={isFetchingNextPage}
              onClick={() => void fetchNextPage()}
            >
              {isFetchingNextPage ? 'Reading…' : 'Show more'}
            </Button>
          </div>
        )}
      </div>
    </>
  )
}

/** One that was pushed to the next page between two reads is in both. */
function distinct(runs: readonly Run[]): Run[] {
  return [...new Map(runs.map((run) => [run.id, run])).values()]
}

function RunRow({
  run,
  focused,
  ends,
  onShow,
}: {
  run: Run
  focused: boolean
  /** It may be cancelled. */
  ends: boolean
  onShow: () => void
}) {
  const { id } = useProject()
  const { cancel } = useRunActions(id)
  const look = runLook(run)
  const took = runTook(run, 0)
  const cost = runCost(run.cost)
  const works = run.status === 'running' && run.waitsFor === null
  return (
    <li className={cx('flex items-center gap-1 hover:bg-hover', ends ? 'pr-1.5' : 'pr-3')}>
      <button
        type="button"
        // Who came back from it goes on from it.
        // oxlint-disable-next-line jsx-a11y/no-autofocus
        autoFocus={focused}
        onClick={onShow}
        className="flex min-h-12 min-w-0 grow items-center gap-2.5 py-1 pl-3 text-left -outline-offset-2"
      >
        <LookGlyph look={look} />
        <span className="min-w-0 grow">
          <span className="block truncate" title={run.prompt.slice(0, 1000)}>
            {run.prompt.slice(0, 400)}
          </span>
          <span className="tnum block truncate text-sm text-ink-3">
            Run {run.runIndex} ·{' '}
            <span className={cx(look.tone === 'amber' && 'text-amber-text')}>{look.word}</span>
            {run.meta.model && ` · ${run.meta.model}`}
          </span>
        </span>
        <span className="shrink-0 pl-1 text-right text-sm text-ink-3">
          <Ago at={momentOf(run.createdAt)} className="block" />
          <span className="tnum flex justify-end gap-1.5">
            {works && run.startedAt ? (
              <Elapsed since={momentOf(run.startedAt)} />
            ) : (
              isOver(run) && took !== null && <span>{duration(took)}</span>
            )}
            {cost ?? (
              <span>
                <span aria-hidden="true">–</span>
                <span className="sr-only">cost not known</span>
              </span>
            )}
          </span>
        </span>
      </button>
      {ends && (
        <IconButton
          icon="stop"
          label={`Cancel run ${run.runIndex}`}
          disabled={cancel.isPending}
          onClick={() => cancel.mutate(run)}
        />
      )}
    </li>
  )
}
