// A schedule is made or changed: when, what, and what happens if it could not be started in time.
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { wordsOf } from '@/api/http'
import type { Schedule } from '@/api/machine-types'
import { sessionName } from '@/components/session-name'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { useScheduleActions } from '@/hooks/schedules'
import { CONTROL, Field, Input, Segments } from '@/ui/field'
import { FormDialog } from '@/ui/form-dialog'
import { Failure } from '@/ui/state'
import { draftOf, typedOf, type Typed } from './draft'
import { WhenFields } from './when-fields'

export function ScheduleForm({
  schedule,
  onClose,
}: {
  /** Null makes a new one. */
  schedule: Schedule | null
  onClose: () => void
}) {
  const { id } = useProject()
  const { save } = useScheduleActions(id)
  const { data: list } = useQuery(queries.sessions(id))
  const [now] = useState(() => Date.now())
  const [typed, setTyped] = useState(() => typedOf(schedule, now))
  // What is missing is not held against who has just begun.
  const [tried, setTried] = useState(false)
  const { draft, faults } = draftOf(typed, now)
  const put = (change: Partial<Typed>) => setTyped((before) => ({ ...before, ...change }))
  const prompt = typed.work === 'prompt'

  return (
    <FormDialog
      title={schedule ? `Change ${schedule.name}` : 'New schedule'}
      className="top-[6vh] flex max-h-[88dvh] w-[min(520px,calc(100vw-24px))] flex-col"
      fields="-mx-4 mt-2 flex min-h-0 flex-col gap-3 overflow-y-auto px-4 pb-1"
      verb={schedule ? 'Save' : 'Add'}
      doing="Saving…"
      busy={save.isPending}
      onSubmit={() => {
        setTried(true)
        if (draft) save.mutate({ old: schedule?.id ?? null, draft }, { onSuccess: onClose })
      }}
      onClose={onClose}
    >
      <Field label="Name" error={tried ? (faults.name ?? null) : null}>
        {(ids) => (
          <Input
            {...ids}
            // The dialog is opened to fill this in.
            // oxlint-disable-next-line jsx-a11y/no-autofocus
            autoFocus
            value={typed.name}
            placeholder="Morning report"
            onChange={(event) => put({ name: event.target.value })}
          />
        )}
      </Field>
      <WhenFields typed={typed} faults={faults} now={now} put={put} />
      <div className="flex flex-col gap-2">
        <Segments
          label="What runs"
          value={typed.work}
          options={[
            { value: 'prompt', label: 'Prompt for the agent' },
            { value: 'command', label: 'Command' },
          ]}
          onChange={(work) => put({ work })}
        />
        <Field
          label={prompt ? 'Prompt' : 'Command'}
          note={prompt ? null : 'Run by a shell in the project’s folder.'}
          error={tried ? (faults.text ?? null) : null}
        >
          {(ids) => (
            <textarea
              {...ids}
              rows={3}
              value={typed.text}
              spellCheck={prompt}
              placeholder={prompt ? 'Read the new mails and write what matters.' : 'make backup'}
              onChange={(event) => put({ text: event.target.value })}
              className={`${CONTROL} h-auto py-1.5 max-md:h-auto ${prompt ? '' : 'font-mono text-sm'}`}
            />
          )}
        </Field>
        {prompt && (
          <Field label="Conversation">
            {(ids) => (
              <select
                {...ids}
                value={typed.session}
                onChange={(event) => put({ session: event.target.value })}
                className={`${CONTROL} select`}
              >
                <option value="">A new one each time</option>
                {list?.sessions
                  .filter((session) => !session.lost)
                  .map((session) => (
                    <option key={session.id} value={session.id}>
                      {sessionName(session)}
                    </option>
                  ))}
              </select>
            )}
          </Field>
        )}
      </div>
      <div className="grid grid-cols-2 gap-3 max-sm:grid-cols-1">
        <Field label="If its time passed meanwhile">
          {(ids) => (
            <select
              {...ids}
              value={typed.catchUp}
              onChange={(event) => put({ catchUp: event.target.value as Typed['catchUp'] })}
              className={`${CONTROL} select`}
            >
              <option value="latest">Run once, late</option>
              <option value="all">Run each, one after the other</option>
              <option value="none">Skip it</option>
            </select>
          )}
        </Field>
        <Field label="If the one before still runs">
          {(ids) => (
            <select
              {...ids}
              value={typed.overlap}
              onChange={(event) => put({ overlap: event.target.value as Typed['overlap'] })}
              className={`${CONTROL} select`}
            >
              <option value="skip">Leave it out</option>
              <option value="queue">Wait for its end</option>
              <option value="cancel">End it, then run</option>
              <option value="allow">Run beside it</option>
            </select>
          )}
        </Field>
      </div>
      {typed.catchUp === 'all' && (
        <Field
          label="The latest of them"
          error={faults.catchUpMax ?? null}
          note="So many are made up for; those before them are skipped."
        >
          {(ids) => (
            <Input
              {...ids}
              inputMode="numeric"
              value={typed.catchUpMax}
              onChange={(event) => put({ catchUpMax: event.target.value })}
            />
          )}
        </Field>
      )}
      {save.error && <Failure compact title="It was not saved" message={wordsOf(save.error)} />}
    </FormDialog>
  )
}
