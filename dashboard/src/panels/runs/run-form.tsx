// Asks for a run: what is to be done, who answers, whether a person decides on the plan.
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { wordsOf } from '@/api/http'
import type { Asked } from '@/api/runs/routes'
import type { Run } from '@/api/runs/types'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { RUN_DRAFT, useRunActions } from '@/hooks/runs'
import { ModelPicker } from '@/panels/chat/model-picker'
import { draftKey, useDrafts } from '@/stores/drafts'
import { CONTROL, Field, Segments } from '@/ui/field'
import { FormDialog } from '@/ui/form-dialog'
import { Failure } from '@/ui/state'

interface Model {
  provider: string
  id: string
}

/** As many as a comparison may have. */
const COUNTS = ['1', '2', '3', '4', '5', '6', '7', '8'].map((value) => ({ value, label: value }))

/** Under which name its words are kept until they were sent. */
export const promptKey = (project: string) => draftKey(project, RUN_DRAFT)

export function RunForm({
  onAsked,
  onClose,
}: {
  onAsked: (asked: Asked) => void
  onClose: () => void
}) {
  const { id } = useProject()
  const { ask } = useRunActions(id)
  const { data: runs } = useInfiniteQuery(queries.runs(id))
  const latest = runs?.pages[0]?.[0]
  const text = useDrafts(({ drafts }) => drafts[promptKey(id)] ?? '')
  const setText = useDrafts((drafts) => drafts.set)
  const [model, setModel] = useState<Model | null>(null)
  const [approval, setApproval] = useState(false)
  const [goesOn, setGoesOn] = useState(false)
  const [backend, setBackend] = useState<string | null>(null)
  const [several, setSeveral] = useState(1)
  /** For each of several its own; null: they share one. */
  const [models, setModels] = useState<readonly (Model | null)[] | null>(null)
  // What is missing is not held against who has just begun.
  const [tried, setTried] = useState(false)

  const { data: all } = useQuery(queries.models)
  const { data: me } = useQuery(queries.me)
  const { data: machine } = useQuery(queries.machine(id))
  const backends = me?.server.backends ?? []
  /** Where the project is, unless another was chosen. */
  const where = backend ?? machine?.backend ?? null
  const continues = goesOn && several === 1 && latest !== undefined
  /** Who answers where no other is chosen: whom the conversation has, or, in a new one, the default. */
  const shared = model ?? (continues ? modelOf(latest) : null) ?? all?.default ?? null

  const submit = () => {
    setTried(true)
    if (!text.trim()) return
    const named = models?.slice(0, several).map((each) => each ?? shared)
    const of =
      several === 1 ? {} : { several: named?.every((each) => each !== null) ? named : several }
    ask.mutate(
      {
        text,
        model,
        approval,
        goesOn: continues,
        // Copies are made where the project is.
        backend: several === 1 && where !== machine?.backend ? where : null,
        ...of,
      },
      {
        onSuccess: (asked) => {
          setText(promptKey(id), '')
          onAsked(asked)
        },
      },
    )
  }
  return (
    <FormDialog
      title="New run"
      note="Done without you, in a conversation of its own: plan, work, check, commit."
      className="top-[6vh] flex max-h-[88dvh] w-[min(520px,calc(100vw-24px))] flex-col"
      fields="-mx-4 mt-2 flex min-h-0 flex-col gap-3 overflow-y-auto px-4 pb-1"
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
            kept="What you wrote stays here. Started again, it is the same request."
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
            className={`${CONTROL} h-auto max-h-[40dvh] py-1.5 max-md:h-auto`}
          />
        )}
      </Field>
      <div className="flex flex-col gap-1">
        <span className="text-sm font-medium text-ink-2">How many</span>
        <div>
          <Segments
            label="How many"
            value={String(several)}
            options={COUNTS}
            onChange={(count) => setSeveral(Number(count))}
          />
        </div>
        {several > 1 && (
          <p className="text-sm text-ink-3">
            Each in a copy of the project of its own. You compare them and keep one; the others are
            deleted.
          </p>
        )}
      </div>
      {several > 1 && models !== null ? (
        <Models
          models={Array.from({ length: several }, (_, place) => models[place] ?? shared)}
          onPick={(place, picked) =>
            setModels(
              Array.from({ length: several }, (_, each) =>
                each === place ? picked : (models[each] ?? null),
              ),
            )
          }
        />
      ) : (
        <div className="flex items-center gap-2">
          <span className="text-sm font-medium text-ink-2">Model</span>
          <ModelPicker
            inDialog
            model={shared}
            onPick={(change) => setModel({ provider: change.provider, id: change.modelId })}
          />
        </div>
      )}
      {several === 1 && backends.length > 1 && where !== null && machine && (
        <div className="flex flex-col gap-1">
          <span className="text-sm font-medium text-ink-2">Where</span>
          <div>
            <Segments
              label="Where"
              value={where}
              options={[...new Set([machine.backend, ...backends])].map((value) => ({
                value,
                label: value,
              }))}
              onChange={setBackend}
            />
          </div>
          {where !== machine.backend && (
            <p className="text-sm text-ink-3">
              The project moves there first, with its files and conversations. What was installed in
              its system stays behind.
            </p>
          )}
        </div>
      )}
      <div>
        <Check label="Ask me before building" on={approval} onChange={setApproval}>
          Its plan waits for you.
        </Check>
        {several > 1 && (
          <Check
            label="A model for each"
            on={models !== null}
            onChange={(on) => setModels(on ? [] : null)}
          >
            The same prompt, different models.
          </Check>
        )}
        <Check
          label="Go on from the last run"
          on={continues}
          disabled={latest === undefined || several > 1}
          onChange={setGoesOn}
        >
          {several > 1
            ? 'Several begin conversations of their own.'
            : latest
              ? `In the conversation of run ${latest.runIndex}.`
              : 'There is none yet.'}
        </Check>
      </div>
    </FormDialog>
  )
}

/** Who answered in a run. */
function modelOf({ meta: { provider, model } }: Run): Model | null {
  return provider && model ? { provider, id: model } : null
}

function Models({
  models,
  onPick,
}: {
  models: readonly (Model | null)[]
  onPick: (place: number, model: Model) => void
}) {
  return (
    <div className="flex flex-col gap-1">
      <span className="text-sm font-medium text-ink-2">Models</span>
      <ol aria-label="Models" className="grid grid-cols-2 gap-x-4 gap-y-1 max-sm:grid-cols-1">
        {models.map((model, place) => (
          // A candidate has no identity but its place.
          // oxlint-disable-next-line react/no-array-index-key
          <li key={place} className="flex min-w-0 items-center gap-2">
            <span className="tnum w-4 text-sm text-ink-3">{place + 1}</span>
            <ModelPicker
              inDialog
              model={model}
              onPick={({ provider, modelId }) => onPick(place, { provider, id: modelId })}
            />
          </li>
        ))}
      </ol>
    </div>
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
