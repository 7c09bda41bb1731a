// All branches of a conversation: where it can go back to, and what was left when it did.
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { wordsOf } from '@/api/http'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { useTreeActions } from '@/hooks/session-tree'
import { useAsking } from '@/stores/asking'
import { Button, IconButton } from '@/ui/button'
import { Dialog } from '@/ui/dialog'
import { Glyph } from '@/ui/glyph'
import { Failure, Skeleton } from '@/ui/state'
import { Ago } from '@/ui/time'
import { cx } from '@/util/class'
import { treeLines, type TreeLine } from './session-tree'

/** Deeper branches stand no further in: a phone is narrow. */
const DEPTH_MAX = 6
/** Lines drawn at first, and by each "more". */
const LINES_STEP = 200

export function TreeDialog({ sessionId, onClose }: { sessionId: string; onClose: () => void }) {
  const { id } = useProject()
  const { data, error, refetch } = useQuery(queries.tree(id, sessionId))
  const { goBack } = useTreeActions(sessionId)
  const ask = useAsking((state) => state.ask)
  const [going, setGoing] = useState<string | null>(null)
  const [shown, setShown] = useState(LINES_STEP)
  const [summarize, setSummarize] = useState(false)
  const lines = data ? treeLines(data.entries) : []

  const go = async (entryId: string) => {
    setGoing(entryId)
    if (await goBack(entryId, summarize)) onClose()
    else setGoing(null)
  }
  return (
    <Dialog
      open
      onOpenChange={(open) => !open && onClose()}
      title="All branches"
      note="Go to a message to say it anew, or to the end of a branch to go on there. Files stay as they are, and nothing is lost."
      className="top-[8vh] flex max-h-[84vh] w-[min(640px,calc(100vw-24px))] flex-col"
    >
      {error && !data ? (
        <Failure
          compact
          title="The conversation's branches could not be read"
          message={wordsOf(error)}
          kept="They are kept with the project."
          action={<Button onClick={() => void refetch()}>Try again</Button>}
        />
      ) : data ? (
        lines.length > 0 ? (
          <ul className="-mx-2 mt-3 min-h-0 overflow-y-auto">
            {lines.slice(0, shown).map((line) => (
              <Line
                key={line.node.id}
                line={line}
                here={line.end && line.node.onPath}
                busy={going !== null}
                onGo={() => void go(line.node.id)}
                onName={() => {
                  const { id: entryId, text, label } = line.node
                  const message = { sessionId, entryId, text }
                  ask({ kind: 'label', message, ...(label === null ? {} : { label }) })
                }}
              />
            ))}
            {lines.length > shown && (
              <li className="px-2 py-1">
                <Button variant="ghost" onClick={() => setShown(shown + LINES_STEP)}>
                  {lines.length - shown} more
                </Button>
              </li>
            )}
          </ul>
        ) : (
          <p className="mt-3 text-ink-2">Nothing was said yet.</p>
        )
      ) : (
        <Skeleton className="mt-3" words="Reading the branches…" />
      )}
      <div className="mt-3 flex flex-wrap items-center gap-x-3 gap-y-2">
        {lines.length > 0 && (
          <label className="flex min-h-7 items-center gap-2 max-md:min-h-11">
            <input
              type="checkbox"
              checked={summarize}
              disabled={going !== null}
              onChange={(event) => setSummarize(event.target.checked)}
            />
            Sum up for the model what is left behind
          </label>
        )}
        {going !== null && summarize && (
          <span role="status" className="text-sm text-ink-3">
            The model writes it down…
          </span>
        )}
        <Button className="ml-auto" onClick={onClose}>
          Close
        </Button>
      </div>
    </Dialog>
  )
}

function Line({
  line: { node, depth, end },
  here,
  busy,
  onGo,
  onName,
}: {
  line: TreeLine
  /** The conversation stands there. */
  here: boolean
  busy: boolean
  onGo: () => void
  onName: () => void
}) {
  const text = node.text.replaceAll(/\s+/g, ' ').trim() || 'No words'
  return (
    <li
      className="flex items-center"
      style={{ paddingLeft: `${Math.min(depth, DEPTH_MAX) * 16}px` }}
    >
      <button
        type="button"
        disabled={busy || here}
        onClick={onGo}
        className="flex min-h-8 min-w-0 grow items-center gap-2 rounded-md px-2 text-left hover:bg-hover disabled:hover:bg-transparent max-md:min-h-11"
      >
        <Glyph
          shape={here ? 'disc' : end ? 'square' : 'ring'}
          tone={node.onPath ? 'moss' : 'quiet'}
          title={node.onPath ? 'on this branch' : 'on another branch'}
        />
        {node.label !== null && (
          <span className="max-w-48 shrink-0 truncate rounded-sm bg-sunk px-1.5 text-sm font-medium">
            {node.label}
          </span>
        )}
        <span className={cx('min-w-0 truncate', node.role !== 'user' && 'text-ink-2')}>{text}</span>
        <span className="ml-auto shrink-0 pl-2 text-sm text-ink-3">
          {here ? 'You are here' : end ? 'End of a branch' : <Ago at={node.timestamp} />}
        </span>
      </button>
      <IconButton icon="edit" label={`Name “${text.slice(0, 40)}”`} onClick={onName} />
    </li>
  )
}
