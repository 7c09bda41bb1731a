// The folders as a tree; a folder is read when it is opened.
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import type { FileEntry } from '@/api/bridge-types'
import { wordsOf } from '@/api/http'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { Icon } from '@/ui/icons'
import { Skeleton } from '@/ui/state'
import { cx } from '@/util/class'
import { joinPath } from './paths'

/** Entries shown of one folder; node_modules and its like have thousands. */
const ENTRIES_MAX = 500

interface Shared {
  chosen: string | null
  onChoose: (path: string) => void
}

export function Tree({ root, ...shared }: Shared & { root: string }) {
  return (
    <div className="min-h-0 grow overflow-y-auto px-1 py-1">
      <Folder path={root} depth={0} {...shared} />
    </div>
  )
}

/** Folders first, then by name; dot files last of their kind. */
function inOrder(entries: readonly FileEntry[]): FileEntry[] {
  const rank = (entry: FileEntry) =>
    (entry.type === 'dir' ? 0 : 2) + (entry.name.startsWith('.') ? 1 : 0)
  return entries.toSorted(
    (a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name, undefined, { numeric: true }),
  )
}

function Folder({ path, depth, ...shared }: Shared & { path: string; depth: number }) {
  const { id } = useProject()
  const { data, error, isPending } = useQuery(queries.files(id, depth === 0 ? null : path))
  const indent = { paddingLeft: 8 + depth * 14 }
  if (isPending) return <Skeleton widths={[50, 64]} className="py-1 pl-4" />
  if (error && !data) {
    return (
      <div style={indent} className="py-1 text-sm text-red-text">
        {wordsOf(error)}
      </div>
    )
  }
  const entries = inOrder(data?.entries ?? [])
  return (
    <ul>
      {entries.slice(0, ENTRIES_MAX).map((entry) => (
        <Entry
          key={entry.name}
          entry={entry}
          path={joinPath(path, entry.name)}
          depth={depth}
          alone={depth === 0 && entries.length === 1}
          {...shared}
        />
      ))}
      {entries.length === 0 && (
        <li style={indent} className="py-0.5 text-sm text-ink-3">
          (empty)
        </li>
      )}
      {entries.length > ENTRIES_MAX && (
        <li style={indent} className="py-1 text-sm text-ink-3">
          {entries.length - ENTRIES_MAX} more; use a terminal or ask the agent
        </li>
      )}
    </ul>
  )
}

function Entry({
  entry,
  path,
  depth,
  alone,
  ...shared
}: Shared & {
  entry: FileEntry
  path: string
  depth: number
  /** A folder that is all there is stands open. */
  alone: boolean
}) {
  const [open, setOpen] = useState(alone)
  const folder = entry.type === 'dir'
  const chosen = shared.chosen === path
  return (
    <li>
      <button
        type="button"
        {...(folder ? { 'aria-expanded': open } : { 'aria-current': chosen })}
        onClick={() => (folder ? setOpen(!open) : shared.onChoose(path))}
        style={{ paddingLeft: 6 + depth * 14 }}
        className={cx(
          'flex h-6 w-full items-center gap-1.5 rounded-md pr-2 text-left max-md:h-10',
          chosen ? 'bg-moss-soft text-moss-text' : 'hover:bg-hover',
        )}
      >
        <Icon
          name={folder ? 'chevron' : 'file'}
          width={12}
          height={12}
          className={cx(!chosen && 'text-ink-3', folder && open && 'rotate-90')}
        />
        <span className={cx('truncate', entry.name.startsWith('.') && !chosen && 'text-ink-3')}>
          {entry.name}
        </span>
      </button>
      {folder && open && <Folder path={path} depth={depth + 1} {...shared} />}
    </li>
  )
}
