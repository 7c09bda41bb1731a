// Work that the agent has done by a helper: one line, which opens to the helper's own conversation.
import { useQuery } from '@tanstack/react-query'
import { use, useState } from 'react'
import { wordsOf } from '@/api/http'
import type { ToolRow } from '@/api/transcript/types'
import { useProject, useSession } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Failure, Skeleton } from '@/ui/state'
import { toast } from '@/ui/toasts'
import { Elapsed } from '../elapsed'
import { NestedContext } from '../nested-context'
import { CallQuestion } from './call-question'
import { ToolLine } from './tool-row'

/** Of its conversation, which is scrolled from there on. */
const HEIGHT_MAX_PX = 320

export function TaskRow({
  row,
  open,
  quiet,
  sessionId,
  onToggle,
}: {
  row: ToolRow
  open: boolean
  quiet: boolean
  sessionId: string
  onToggle: (id: string, open: boolean) => void
}) {
  const { question } = row
  return (
    <div>
      <ToolLine
        row={row}
        open={open}
        quiet={quiet}
        onToggle={onToggle}
        now={row.state === 'running' && row.startedAt !== null && <Elapsed since={row.startedAt} />}
      />
      {open && <Work row={row} />}
      {question?.kind && (
        <CallQuestion key={question.id ?? row.callId} question={question} sessionId={sessionId} />
      )}
    </div>
  )
}

/** Its conversation, found by its call where no event told of it. */
function Work({ row }: { row: ToolRow }) {
  const { id } = useProject()
  const tasks = useQuery({ ...queries.tasks(id), enabled: row.child === null })
  const child =
    row.child ?? tasks.data?.sessions.find((each) => each.parentCallId === row.callId)?.id
  return (
    <div className="mt-1 mb-2 overflow-hidden rounded-md border bg-surface">
      {child ? (
        <Conversation key={child} child={child} running={row.state === 'running'} />
      ) : tasks.error ? (
        <Failure
          compact
          title="The helper's conversation could not be found"
          message={wordsOf(tasks.error)}
          action={<Button onClick={() => void tasks.refetch()}>Try again</Button>}
        />
      ) : tasks.isPending ? (
        <Skeleton className="p-3" widths={[38, 74]} words="Looking for its conversation…" />
      ) : (
        <p className="px-3 py-2 text-ink-3">It was never begun.</p>
      )}
    </div>
  )
}

function Conversation({ child, running }: { child: string; running: boolean }) {
  const { live } = useProject()
  const view = useSession(child)
  const nested = use(NestedContext)
  const [stopping, setStopping] = useState(false)
  const stop = () => {
    setStopping(true)
    live.bridge
      .abort(child, true)
      .catch((error: unknown) => toast.error('The task was not stopped', wordsOf(error)))
      .finally(() => setStopping(false))
  }
  return (
    <>
      <div className="relative">
        {view.state === 'loading' && (
          <Skeleton className="p-3" widths={[38, 82, 74]} words="Reading its conversation…" />
        )}
        {view.state === 'failed' && (
          <Failure
            compact
            title="The helper's conversation could not be read"
            message={view.error}
            kept="It is kept with the project."
            action={<Button onClick={() => void live.session(child).load()}>Try again</Button>}
          />
        )}
        {view.state === 'ready' &&
          nested({
            transcript: view.transcript,
            label: 'Conversation of the task',
            heightMax: HEIGHT_MAX_PX,
            working: running,
            visible: true,
            pinned: 0,
            onRetry: null,
          })}
      </div>
      {running && (
        <div className="flex items-center justify-end border-t px-2 py-1">
          <Button disabled={stopping} onClick={stop}>
            {stopping ? 'Stopping…' : 'Stop this task'}
          </Button>
        </div>
      )}
    </>
  )
}
