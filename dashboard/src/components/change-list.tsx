// What differs between a checkpoint and now: paths with sizes; each opens to its lines.
import { useQuery } from '@tanstack/react-query'
import { useMemo, useState } from 'react'
import { wordsOf } from '@/api/http'
import type { Change } from '@/api/machine-types'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Icon } from '@/ui/icons'
import { Skeleton } from '@/ui/state'
import { cx } from '@/util/class'
import { bytes } from '@/util/format'
import { GOING_BACK, SINCE } from './checkpoint-words'
import { parseDiff } from './diff-lines'
import { DiffView } from './diff-view'

/** Paths drawn at first. */
const PATHS_MAX = 60
/** Paths added by each "more". */
const PATHS_STEP = 500
/** Agents work here; the rest of the path says nothing. */
const HOME = '/home/project/'

export function ChangeList({
  checkpoint,
  changes,
  truncated,
  back = false,
  to = 'now',
}: {
  checkpoint: string
  /** Until which other checkpoint. */
  to?: string
  changes: readonly Change[]
  truncated: boolean
  /** Told as what going back does, not as what happened since. */
  back?: boolean
}) {
  const [shown, setShown] = useState(PATHS_MAX)
  const [open, setOpen] = useState<string | null>(null)
  const rest = changes.length - shown
  return (
    <>
      <ul className="divide-y divide-line">
        {changes.slice(0, shown).map((change) => (
          <ChangeRow
            key={change.path}
            checkpoint={checkpoint}
            to={to}
            change={change}
            back={back}
            open={open === change.path}
            onToggle={() => setOpen(open === change.path ? null : change.path)}
          />
        ))}
      </ul>
      {rest > 0 && (
        <button
          type="button"
          onClick={() => setShown(shown + PATHS_STEP)}
          className="block w-full border-t px-3 py-1 text-left text-blue hover:underline"
        >
          {rest} more paths
        </button>
      )}
      {truncated && rest <= 0 && (
        <p className="border-t px-3 py-1 text-sm text-ink-3">
          There are more; the list ends here. Fork the checkpoint to look at all of it.
        </p>
      )}
    </>
  )
}

const TONES: Record<string, string> = { '+': 'text-moss-text', '−': 'text-red-text' }

function ChangeRow({
  checkpoint,
  to,
  change,
  back,
  open,
  onToggle,
}: {
  checkpoint: string
  to: string
  change: Change
  back: boolean
  open: boolean
  onToggle: () => void
}) {
  const { path, kind, sizeBefore, sizeAfter } = change
  const { word, sign } = (back ? GOING_BACK : SINCE)[kind]
  const size = sizes(change, back)
  // A folder or a link has no lines.
  const isFile = sizeBefore !== null || sizeAfter !== null
  const body = (
    <>
      {isFile ? (
        <Icon
          name="chevron"
          width={12}
          height={12}
          className={cx('text-ink-3', open && 'rotate-90')}
        />
      ) : (
        <span className="w-3 shrink-0" />
      )}
      <span
        aria-hidden="true"
        className={cx('w-2 shrink-0 font-mono', TONES[sign] ?? 'text-ink-3')}
      >
        {sign}
      </span>
      <span className="truncate font-mono text-sm [direction:rtl]" title={path}>
        <bdi>{path.startsWith(HOME) ? path.slice(HOME.length) : path}</bdi>
      </span>
      <span className="tnum ml-auto shrink-0 pl-2 text-sm text-ink-3">
        <span className="max-sm:hidden">{word}</span>
        {size && <span className="pl-2">{size}</span>}
      </span>
    </>
  )
  const line = 'flex h-7 w-full items-center gap-1.5 px-3 text-left max-md:h-10'
  return (
    <li>
      {isFile ? (
        <button
          type="button"
          aria-expanded={open}
          onClick={onToggle}
          className={cx(line, '-outline-offset-2 hover:bg-hover')}
        >
          {body}
        </button>
      ) : (
        <div className={line}>{body}</div>
      )}
      {open && <FileLines checkpoint={checkpoint} to={to} path={path} back={back} />}
    </li>
  )
}

/** Sizes in the direction that is told. */
function sizes({ sizeBefore, sizeAfter }: Change, back: boolean): string | null {
  const [before, after] = back ? [sizeAfter, sizeBefore] : [sizeBefore, sizeAfter]
  if (before === null || after === null || before === after) {
    const size = after ?? before
    return size === null ? null : bytes(size)
  }
  return `${bytes(before)} → ${bytes(after)}`
}

function FileLines({
  checkpoint,
  to,
  path,
  back,
}: {
  checkpoint: string
  to: string
  path: string
  back: boolean
}) {
  const { id } = useProject()
  const { data, error, isPending, refetch } = useQuery(queries.fileDiff(id, checkpoint, path, to))
  const lines = useMemo(() => (data?.unified ? parseDiff(data.unified) : []), [data])
  return (
    <div className="border-t bg-sunk">
      {isPending ? (
        <Skeleton className="px-3 py-2" widths={[52, 70]} />
      ) : error && !data ? (
        <div className="flex items-center gap-2 px-3 py-1.5 text-ink-2">
          {wordsOf(error)} <Button onClick={() => void refetch()}>Try again</Button>
        </div>
      ) : lines.length > 0 ? (
        <>
          {back && (
            <p className="border-b px-3 py-1 text-sm text-ink-3">
              What changed since; going back undoes it.
            </p>
          )}
          <DiffView lines={lines} />
        </>
      ) : (
        <p className="px-3 py-1.5 text-ink-2">
          {data?.note ?? 'Its text is the same; its rights or its owner differ.'}
        </p>
      )}
    </div>
  )
}
