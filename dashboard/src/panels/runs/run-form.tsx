// Asks for a run: what is to be done, who answers, whether a person decides on the plan.
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { wordsOf } from '@/api/http'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { RUN_DRAFT, useRunActions } from '@/hooks/runs'
import { ModelPicker } from '@/panels/chat/model-picker'
import { draftKey, useDrafts } from '@/stores/drafts'
import { CONTROL, Field } from '@/ui/field'
import { FormDialog } from '@/ui/form-dialog'
import { Failure } from '@/ui/state'

/** Under which name its words are kept until they were sent. */
export const promptKey = (project: string) => draftKey(project, RUN_DRAFT)

export function RunForm({
  onAsked,
  onClose,
}: {
  onAsked: (run: string) => void
  onClose: () => void
}) {
  const { id } = useProject()
  const { ask } = useRunActions(id)
  const { data: state } = useQuery(queries.state(id))
  const { data: runs } = useInfiniteQuery(queries.runs(id))
  const latest = runs?.pages[0]?.[0]
  const text = useDrafts(({ drafts }) => drafts[promptKey(id)] ?? '')
  const setText = useDrafts((drafts) => drafts.set)
  const [model, setModel] = useState<{ provider: string; id: string } | null>(null)
  const [approval, setApproval] = useState(false)
  const [goesOn, setGoesOn] = useState(false)
  // What is missing is not held against who has just begun.
  const [tried, setTried] = useState(false)

  const submit = () => {
    setTried(true)
    if (!text.trim()) return
    const wish = { text, model, approval, goesOn: goesOn && latest !== undefined }
    ask.mutate(wish, {
      onSuccess: (run) => {
        setText(promptKey(id), '')
        onAsked(run.id)
      },
    })
  }
  return (
    <FormDialog
      title="New run"
      note="Done without you, in a conversation of its own: plan, work, check, commit."
      className="top-[8vh] w-[min(520px,calc(100vw-24px))]"
      verb="Start"
      doing="Starting…"
      icon="flag"
      busy={ask.isPending}
      below={
        ask.error && (
          <Failure
            compact
            title="It was not started"
            message={wordsOf(ask.error)}
            kept="What you wrote stays here. Started again, it is the same run."
          />
        )
      }
      onSubmit={submit}
      onClose={onClose}
    >
      <Field
        label="Prompt"
        error={tried && !text.trim() ? 'Say what is to be done.' : null}
        note={null}
      >
        {(ids) => (
          <textarea
            {...ids}
            // The dialog is opened to fill this in.
            // oxlint-disable-next-line jsx-a11y/no-autofocus
            autoFocus
            rows={5}
            value={text}
            placeholder="Add a page for beds, with tests."
            onChange={(event) => setText(promptKey(id), event.target.value)}
            onKeyDown={(event) => {
              if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
                event.currentTarget.form?.requestSubmit()
              }
            }}
            className={`${CONTROL} h-auto max-h-[40dvh] py-1.5`}
          />
        )}
      </Field>
      <div className="flex items-center gap-2">
        <span className="text-sm font-medium text-ink-2">Model</span>
        <ModelPicker
          inDialog
          model={model ?? state?.model ?? null}
          onPick={(change) => setModel({ provider: change.provider, id: change.modelId })}
        />
      </div>
      <div>
        <Check label="Ask me before building" on={approval} onChange={setApproval}>
          Its plan waits for you.
        </Check>
        <Check
          label="Go on from the last run"
          on={goesOn && latest !== undefined}
          disabled={latest === undefined}
          onChange={setGoesOn}
        >
          {latest ? `In the conversation of run ${latest.runIndex}.` : 'There is none yet.'}
        </Check>
      </div>
    </FormDialog>
  )
}

function Check({
  label,
  on,
  disabled = false,
  onChange,
  children,
}: {
  label: string
  on: boolean
  disabled?: boolean
  onChange: (on: boolean) => void
  children: string
}) {
  return (
    <label className="-mx-1 flex min-h-7 flex-wrap items-center gap-x-2 rounded-md px-1 hover:bg-hover max-md:min-h-11">
      <input
        type="checkbox"
        className="accent-moss"
        checked={on}
        disabled={disabled}
        onChange={(event) => onChange(event.target.checked)}
      />
      {label}
      <span className="text-sm text-ink-3">{children}</span>
    </label>
  )
}
