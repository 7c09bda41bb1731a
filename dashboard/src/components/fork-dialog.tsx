// Copies of a project: from now, from a checkpoint, or from before a message. Each has a machine of its
// own.
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { ApiError, wordsOf } from '@/api/http'
import { machineOf } from '@/api/machine'
import type { Checkpoint } from '@/api/machine-types'
import type { Project } from '@/api/types'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import type { AskedMessage } from '@/stores/asking'
import { Button } from '@/ui/button'
import { Dialog } from '@/ui/dialog'
import { Field, Input } from '@/ui/field'
import { FormDialog } from '@/ui/form-dialog'
import { Failure } from '@/ui/state'
import { useNow } from '@/ui/time'
import { toast } from '@/ui/toasts'
import { plural } from '@/util/format'
import { parseCount } from '@/util/units'
import { checkpointName } from './checkpoint-words'
import { LookGlyph, projectLook } from './project-state'

/** As many as the server makes at once. */
const COUNT_MAX = 20

export function ForkDialog({
  checkpoint,
  message,
  onClose,
}: {
  /** None: from now. */
  checkpoint: Checkpoint | undefined
  message: AskedMessage | undefined
  onClose: () => void
}) {
  const { id, name } = useProject()
  const client = useQueryClient()
  const navigate = useNavigate()
  const now = useNow()
  const [typed, setTyped] = useState('')
  const [copies, setCopies] = useState('1')
  const [made, setMade] = useState<Project[]>([])
  const [granted, setGranted] = useState<readonly string[]>([])
  const secrets = useQuery(queries.secrets(id)).data?.secrets.filter(
    (secret) => secret.state === 'set',
  )
  const number = parseCount(copies)
  const count = typeof number === 'number' && number <= COUNT_MAX ? number : null

  const go = (project: string) => {
    onClose()
    void navigate({ to: '/projects/$id', params: { id: project } })
  }
  const fork = useMutation({
    mutationFn: (times: number) =>
      machineOf(id).fork({
        ...(typed.trim() ? { name: typed.trim() } : {}),
        ...(message
          ? { sessionId: message.sessionId, entryId: message.entryId }
          : checkpoint
            ? { checkpointId: checkpoint.id }
            : {}),
        ...(times > 1 ? { count: times } : {}),
        ...(granted.length > 0 ? { secrets: granted } : {}),
      }),
    onSuccess: (projects) => {
      for (const project of projects) {
        client.setQueryData(queries.project(project.id).queryKey, project)
      }
      void client.invalidateQueries({ queryKey: queries.projects.queryKey })
      void client.invalidateQueries({ queryKey: queries.checkpoints(id).queryKey })
      const [first] = projects
      if (projects.length === 1 && first) {
        toast.success(`${first.name} was forked from ${name}`)
        go(first.id)
      } else setMade(projects)
    },
  })
  const from = message
    ? 'from before this message'
    : checkpoint
      ? `from ${checkpointName(checkpoint, now)}`
      : 'from now'

  if (made.length > 0) {
    return (
      <Dialog
        open
        onOpenChange={(open) => !open && onClose()}
        title={`${plural(made.length, 'project')} made`}
        note={`All of them are copies of ${name} ${from}.`}
      >
        <ul className="-mx-2 mt-3 max-h-[50vh] overflow-y-auto">
          {made.map((project) => (
            <li key={project.id}>
              <button
                type="button"
                onClick={() => go(project.id)}
                className="flex h-8 w-full items-center gap-2 rounded-md px-2 text-left hover:bg-hover max-md:h-11"
              >
                <LookGlyph look={projectLook(project)} titled />
                <span className="truncate">{project.name}</span>
              </button>
            </li>
          ))}
        </ul>
        <div className="mt-3 flex justify-end">
          <Button onClick={onClose}>Stay here</Button>
        </div>
      </Dialog>
    )
  }
  return (
    <FormDialog
      title={`Fork ${name} ${from}`}
      note={
        <>
          {message && <q className="mb-1 line-clamp-2 block break-words">{message.text}</q>}
          A new project with a machine of its own: the same files, conversations and database. What
          happens in one does not touch the other.
        </>
      }
      fields="mt-3 grid grid-cols-[1fr_96px] gap-3"
      verb="Fork"
      doing="Forking…"
      icon="fork"
      busy={fork.isPending}
      disabled={count === null}
      below={
        fork.error && (
          <Failure
            compact
            title={
              fork.error instanceof ApiError && fork.error.code === 'no_checkpoint'
                ? 'There is no checkpoint before this message'
                : 'It was not forked'
            }
            message={wordsOf(fork.error)}
          />
        )
      }
      onSubmit={() => {
        if (count !== null) fork.mutate(count)
      }}
      onClose={onClose}
    >
      <Field label="Name" note={count !== null && count > 1 ? 'Each gets a number too.' : ' '}>
        {(ids) => (
          <Input
            {...ids}
            // The dialog is opened to name the copy.
            // oxlint-disable-next-line jsx-a11y/no-autofocus
            autoFocus
            value={typed}
            placeholder={`${name} copy`}
            onChange={(event) => setTyped(event.target.value)}
          />
        )}
      </Field>
      <Field label="How many" error={count === null ? `1 to ${COUNT_MAX}` : null}>
        {(ids) => (
          <Input
            {...ids}
            inputMode="numeric"
            value={copies}
            onChange={(event) => setCopies(event.target.value)}
          />
        )}
      </Field>
      {secrets && secrets.length > 0 && (
        <fieldset className="col-span-2">
          <legend className="text-sm font-medium text-ink-2">Values of secrets that it gets</legend>
          <div className="mt-1 max-h-40 overflow-y-auto">
            {secrets.map(({ name: secret }) => (
              <label
                key={secret}
                className="flex min-h-7 items-center gap-2 rounded-md px-1 hover:bg-hover max-md:min-h-11"
              >
                <input
                  type="checkbox"
                  className="accent-moss"
                  checked={granted.includes(secret)}
                  onChange={(event) =>
                    setGranted(
                      event.target.checked
                        ? [...granted, secret]
                        : granted.filter((each) => each !== secret),
                    )
                  }
                />
                <code className="text-sm break-all">{secret}</code>
              </label>
            ))}
          </div>
          <p className="text-sm text-ink-3">Of the others it gets the names alone.</p>
        </fieldset>
      )}
    </FormDialog>
  )
}
