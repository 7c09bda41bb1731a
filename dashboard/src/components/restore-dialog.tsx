// Going back to a checkpoint: first what changes, by name; then it is done. Enter does the safe thing.
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { ApiError, wordsOf } from '@/api/http'
import { machineOf } from '@/api/machine'
import type { AffectedSession, Checkpoint } from '@/api/machine-types'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import type { AskedMessage } from '@/stores/asking'
import { draftKey, useDrafts } from '@/stores/drafts'
import { Button } from '@/ui/button'
import { Dialog } from '@/ui/dialog'
import { Failure, Skeleton } from '@/ui/state'
import { useNow } from '@/ui/time'
import { toast } from '@/ui/toasts'
import { absolute, capital, plural } from '@/util/format'
import { ChangeList } from './change-list'
import { backWords, checkpointName } from './checkpoint-words'
import { sessionName } from './session-name'

/** The checkpoint lies over other system programs than there are now: only a person may insist. */
const BASE_CHANGED = 'base_changed'

export function RestoreDialog({
  checkpoint,
  message,
  onClose,
}: {
  checkpoint: Checkpoint
  message: AskedMessage | undefined
  onClose: () => void
}) {
  const { id, live } = useProject()
  const client = useQueryClient()
  const diff = useQuery(queries.diff(id, checkpoint.id))
  const { data: sessions } = useQuery(queries.sessions(id))
  const working = sessions?.sessions.filter((session) => session.status === 'working') ?? []
  const name = checkpointName(checkpoint, useNow())

  const restore = useMutation({
    mutationFn: (force: boolean) =>
      message
        ? machineOf(id).restoreMessage(message.sessionId, message.entryId, force)
        : machineOf(id).restore(checkpoint.id, force),
    onSuccess: ({ machine }) => {
      client.setQueryData(queries.machine(id).queryKey, machine)
      for (const key of ['checkpoints', 'diff', 'sessions', 'disk', 'state', 'inspect']) {
        void client.invalidateQueries({ queryKey: [key, id] })
      }
      // The message stands in the composer again, to be changed and sent.
      if (message) {
        const { drafts, set } = useDrafts.getState()
        const key = draftKey(id, message.sessionId)
        if (!drafts[key]) set(key, message.text)
      }
      // A machine that stays stopped tells no event of it.
      if (machine.state !== 'running') {
        for (const { sessionId } of checkpoint.sessions) void live.session(sessionId).load(true)
      }
      toast.success(
        `Went back to ${name}`,
        machine.state === 'running'
          ? 'What was there before is kept as a checkpoint too.'
          : 'The files are back; the conversations follow when the machine starts.',
      )
      onClose()
    },
  })
  const conflict = restore.error instanceof ApiError && restore.error.code === BASE_CHANGED

  return (
    <Dialog
      open
      onOpenChange={(open) => !open && onClose()}
      title={message ? `Go back to before this message?` : `Go back to ${name}?`}
      note={
        <>
          {message && <q className="mb-1 line-clamp-2 block break-words">{message.text}</q>}
          Files, the inspect database and the conversations go back together, to{' '}
          {absolute(checkpoint.createdAt)}.
        </>
      }
      className="top-[10vh] flex max-h-[80dvh] w-[min(560px,calc(100vw-24px))] flex-col"
    >
      <div className="-mx-4 mt-3 min-h-0 grow overflow-y-auto border-y">
        {diff.isPending ? (
          <Skeleton className="px-4 py-3" words="Comparing with now…" />
        ) : diff.error && !diff.data ? (
          <div className="p-3">
            <Failure
              compact
              title="What changes could not be found out"
              message={wordsOf(diff.error)}
              action={<Button onClick={() => void diff.refetch()}>Try again</Button>}
            />
          </div>
        ) : (
          <>
            <Part title="Conversations">
              <Conversations affected={diff.data?.affectedSessions ?? []} named={sessionNames()} />
            </Part>
            <Part title="Files">
              {backWords(diff.data?.changes ?? [], diff.data?.truncated ?? false)}
            </Part>
            <div className="border-t">
              <ChangeList
                checkpoint={checkpoint.id}
                changes={diff.data?.changes ?? []}
                truncated={diff.data?.truncated ?? false}
                back
              />
            </div>
          </>
        )}
      </div>
      {working.length > 0 && (
        <p className="mt-3 text-amber-text">
          The agent works just now in {working.map((each) => sessionName(each)).join(', ')}: it is
          stopped.
        </p>
      )}
      {restore.error && (
        <div className="mt-3">
          <Failure
            compact
            title={conflict ? 'The system programs are others now' : 'It did not go back'}
            message={capital(wordsOf(restore.error))}
            kept="Nothing was changed."
          />
        </div>
      )}
      <p className="mt-3 text-sm text-ink-3">
        A checkpoint of now is taken first, so this can be undone. Nothing that was said is lost.
      </p>
      <div className="mt-3 flex flex-wrap justify-end gap-2">
        {/* The safe button takes the focus: the person asked for this dialog just now. */}
        {/* oxlint-disable-next-line jsx-a11y/no-autofocus */}
        <Button autoFocus onClick={onClose}>
          Cancel
        </Button>
        {conflict ? (
          <Button
            variant="danger"
            disabled={restore.isPending}
            onClick={() => restore.mutate(true)}
          >
            {restore.isPending ? 'Going back…' : 'Go back all the same'}
          </Button>
        ) : (
          <Button
            variant="primary"
            icon="undo"
            disabled={restore.isPending || (diff.isPending && !diff.error)}
            onClick={() => restore.mutate(false)}
          >
            {restore.isPending ? 'Going back…' : 'Go back'}
          </Button>
        )}
      </div>
    </Dialog>
  )

  function sessionNames(): (sessionId: string) => string {
    return (sessionId) => sessionName(sessions?.sessions.find((each) => each.id === sessionId))
  }
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="flex gap-3 px-4 py-2">
      <h3 className="w-26 shrink-0 text-ink-3">{title}</h3>
      <div className="min-w-0">{children}</div>
    </section>
  )
}

function Conversations({
  affected,
  named,
}: {
  affected: readonly AffectedSession[]
  named: (sessionId: string) => string
}) {
  const moved = affected.filter((session) => session.messagesAfter > 0)
  if (moved.length === 0) return 'None moves.'
  return (
    <ul>
      {moved.map(({ sessionId, name, messagesAfter }) => (
        <li key={sessionId} className="break-words">
          <span className="font-medium">{name ?? named(sessionId)}</span> moves back by{' '}
          {plural(messagesAfter, 'message')}.
        </li>
      ))}
    </ul>
  )
}
