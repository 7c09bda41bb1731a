// The files that candidates have changed, each with a cell for each candidate; one opens to its lines, beside
// what all began from.
import { useQuery } from '@tanstack/react-query'
import { useMemo, useState } from 'react'
import { wordsOf } from '@/api/http'
import type { Candidate, CandidateDiff, Comparison } from '@/api/runs/comparisons'
import { SINCE } from '@/components/checkpoint-words'
import { fileRows, shortPath, type FileRow } from '@/components/comparison-words'
import { parseDiff } from '@/components/diff-lines'
import { DiffView } from '@/components/diff-view'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Icon } from '@/ui/icons'
import { Skeleton } from '@/ui/state'
import { cx } from '@/util/class'
import { plural } from '@/util/format'

/** Files drawn at first, and added by each "more". */
const FILES_STEP = 60

export function CompareFiles({
  comparison,
  diffs,
}: {
  comparison: Comparison
  diffs: ReadonlyMap<string, CandidateDiff>
}) {
  const [shown, setShown] = useState(FILES_STEP)
  const [open, setOpen] = useState<string | null>(null)
  const { rows, others } = useMemo(() => fileRows(diffs), [diffs])
  const candidates = comparison.candidates.filter(({ runId }) => diffs.has(runId))
  if (candidates.length === 0) return null
  const truncated = candidates.some(({ runId }) => diffs.get(runId)?.truncated)
  return (
    <section aria-label="Files">
      <h3 className="mb-1 flex items-baseline gap-2 font-semibold">
        Files
        <span className="tnum text-sm font-normal text-ink-3">
          {rows.length === 0
            ? 'none of the project differs'
            : `${plural(rows.length, 'file')} of the project`}
        </span>
      </h3>
      {rows.length > 0 && (
        <ul className="divide-y divide-line rounded-md border">
          {rows.slice(0, shown).map((row) => (
            <File
              key={row.path}
              comparison={comparison}
              candidates={candidates}
              row={row}
              open={open === row.path}
              onToggle={() => setOpen(open === row.path ? null : row.path)}
            />
          ))}
        </ul>
      )}
      {rows.length > shown && (
        <Button
          variant="ghost"
          className="mt-1 -ml-2.5"
          onClick={() => setShown(shown + FILES_STEP)}
        >
          {rows.length - shown} more files
        </Button>
      )}
      {(others > 0 || truncated) && (
        <p className="mt-1 text-sm text-ink-3">
          {others > 0 &&
            `${plural(others, 'other path')} outside the project’s folder, or git’s own. `}
          {truncated && 'There are more than are listed.'}
        </p>
      )}
    </section>
  )
}

function File({
  comparison,
  candidates,
  row: { path, by },
  open,
  onToggle,
}: {
  comparison: Comparison
  candidates: readonly Candidate[]
  row: FileRow
  open: boolean
  onToggle: () => void
}) {
  const touched = candidates.filter(({ runId }) => by.has(runId))
  return (
    <li>
      <button
        type="button"
        aria-expanded={open}
        onClick={onToggle}
        className="flex min-h-7 w-full flex-wrap items-center gap-x-2 px-3 py-0.5 text-left -outline-offset-2 hover:bg-hover max-md:min-h-11"
      >
        <Icon
          name="chevron"
          width={12}
          height={12}
          className={cx('text-ink-3', open && 'rotate-90')}
        />
        <span className="min-w-0 grow font-mono text-sm break-all">{shortPath(path)}</span>
        <span className="tnum flex shrink-0 gap-3 text-sm">
          {candidates.map(({ runId, number }) => (
            <Cell key={runId} number={number} change={by.get(runId)} />
          ))}
        </span>
      </button>
      {open && (
        <div className="grid border-t bg-sunk @[960px]:auto-cols-[minmax(0,1fr)] @[960px]:grid-flow-col">
          {touched.map((candidate) => (
            <FileLines
              key={candidate.runId}
              comparison={comparison}
              candidate={candidate}
              path={path}
            />
          ))}
        </div>
      )}
    </li>
  )
}

/** What a candidate did to the file. */
function Cell({
  number,
  change,
}: {
  number: number
  change: CandidateDiff['changes'][number] | undefined
}) {
  return (
    <span className="flex min-w-16 items-baseline gap-1.5">
      <span className="text-ink-3">{number}</span>
      {!change ? (
        <span className="text-ink-3">
          <span aria-hidden="true">–</span>
          <span className="sr-only">left alone</span>
        </span>
      ) : change.added === null ? (
        <span>{SINCE[change.kind].word}</span>
      ) : (
        <span>
          {(change.added > 0 || !change.removed) && (
            <span className="text-moss-text">+{change.added}</span>
          )}{' '}
          {Boolean(change.removed) && <span className="text-red-text">−{change.removed}</span>}
        </span>
      )}
    </span>
  )
}

function FileLines({
  comparison,
  candidate: { number, runId },
  path,
}: {
  comparison: Comparison
  candidate: Candidate
  path: string
}) {
  const { id } = useProject()
  const { data, error, isPending, refetch } = useQuery(
    queries.candidateFile(id, comparison.id, runId, path),
  )
  const lines = useMemo(() => (data?.unified ? parseDiff(data.unified) : []), [data])
  return (
    <section
      aria-label={`${shortPath(path)}, candidate ${number}`}
      className="min-w-0 border-b last:border-0 @[960px]:border-r @[960px]:border-b-0"
    >
      <h4 className="border-b px-3 py-1 text-sm text-ink-3">Candidate {number}</h4>
      {isPending ? (
        <Skeleton className="px-3 py-2" widths={[52, 70]} />
      ) : error && !data ? (
        <div className="flex items-center gap-2 px-3 py-1.5 text-ink-2">
          {wordsOf(error)} <Button onClick={() => void refetch()}>Try again</Button>
        </div>
      ) : lines.length > 0 ? (
        <DiffView lines={lines} />
      ) : (
        <p className="px-3 py-1.5 text-ink-2">
          {data?.note ?? 'Its text is the same; its rights or its owner differ.'}
        </p>
      )}
    </section>
  )
}
