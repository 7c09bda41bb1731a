// What differs on the project's disk since before a run: until the run after it began, or until now.
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { ApiError, wordsOf } from '@/api/http'
import { isOver, type Run } from '@/api/runs/types'
import { ChangeList } from '@/components/change-list'
import { isOwnPath } from '@/components/comparison-words'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Skeleton } from '@/ui/state'
import { plural } from '@/util/format'

export function RunChanges({ run }: { run: Run }) {
  const { id } = useProject()
  const { data: runs } = useInfiniteQuery(queries.runs(id))
  const from = run.checkpointId
  const known = runs?.pages.flat().find(({ runIndex }) => runIndex === run.runIndex + 1)
  const { data: read } = useQuery({
    ...queries.runBehind(id, run, runs?.pages[0]?.[0]?.runIndex ?? 0),
    enabled: runs !== undefined && known === undefined && !run.writable,
  })
  const next = known ?? read
  // Of one that is followed by a run without a checkpoint nobody knows where it ended.
  const to = run.writable ? 'now' : (next?.checkpointId ?? null)
  if (!isOver(run) || !from || to === null) return null
  return <Changes from={from} to={to} />
}

function Changes({ from, to }: { from: string; to: string }) {
  const { id } = useProject()
  const { data, error, isPending, refetch } = useQuery(queries.diff(id, from, to))
  // It was deleted since, or the keep rule let it go: nothing that a person could do about it.
  if (error instanceof ApiError && error.status === 404) return null
  const own = data?.changes.filter(({ path }) => isOwnPath(path)) ?? []
  const others = (data?.changes.length ?? 0) - own.length
  return (
    <section aria-label="Changes">
      <h3 className="mb-1 flex flex-wrap items-baseline gap-x-2 font-semibold">
        Changes
        <span className="text-sm font-normal text-ink-3">
          {to === 'now' ? 'from before this run to now' : 'until the run after it began'}
        </span>
      </h3>
      {isPending ? (
        <Skeleton className="py-1" widths={[52, 38]} words="Comparing the files…" />
      ) : error && !data ? (
        <div className="flex items-center gap-2 text-ink-2">
          {wordsOf(error)} <Button onClick={() => void refetch()}>Try again</Button>
        </div>
      ) : own.length === 0 ? (
        <p className="text-ink-2">No file of the project differs.</p>
      ) : (
        <div className="rounded-md border">
          <ChangeList
            checkpoint={from}
            to={to}
            changes={own}
            truncated={data?.truncated ?? false}
          />
        </div>
      )}
      {others > 0 && (
        <p className="mt-1 text-sm text-ink-3">
          {plural(others, 'other path')} outside the project’s folder, or git’s own.
        </p>
      )}
    </section>
  )
}
