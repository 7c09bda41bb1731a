// Models that stand in for others while a provider is down.
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useId, useState, type FormEvent } from 'react'
import { wordsOf } from '@/api/http'
import { server } from '@/api/server'
import type { Fallbacks, FallbacksChange } from '@/api/types'
import { toast } from '@/ui/toasts'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Field, Input } from '@/ui/field'
import { Failure, Skeleton } from '@/ui/state'

export function FallbackChains({ admin }: { admin: boolean }) {
  const client = useQueryClient()
  const { data, error, isPending, refetch } = useQuery(queries.fallbacks)
  const { data: models } = useQuery(queries.models)
  const [editing, setEditing] = useState<string | null>(null)
  const names = useId()
  const save = useMutation({
    mutationFn: (change: FallbacksChange) => server.setFallbacks(change),
    onSuccess: (next) => client.setQueryData(queries.fallbacks.queryKey, next),
  })
  const quietly = (change: FallbacksChange) =>
    save.mutate(change, { onError: (e) => toast.error('It was not saved', wordsOf(e)) })
  if (isPending) return <Skeleton widths={[80, 60]} words="Reading the fallbacks…" />
  if (error && !data) {
    return (
      <Failure
        compact
        title="The fallbacks could not be read"
        message={wordsOf(error)}
        action={<Button onClick={() => void refetch()}>Try again</Button>}
      />
    )
  }
  if (!data) return null
  const chains = Object.entries(data.chains)
  const store = async (model: string, others: string[]) => {
    await save.mutateAsync({ chains: { [model]: others } })
    setEditing(null)
  }
  return (
    <div className="flex flex-col gap-4">
      <datalist id={names}>
        {(models?.models ?? [])
          .filter((model) => !model.demo)
          .map((model) => (
            <option key={`${model.provider}/${model.id}`} value={`${model.provider}/${model.id}`}>
              {model.name}
            </option>
          ))}
      </datalist>
      {chains.length === 0 && editing === null && (
        <p className="text-ink-3">
          No model has another to stand in for it: while its provider is down, work waits.
        </p>
      )}
      {chains.length > 0 && (
        <ul className="divide-y divide-line border-y">
          {chains.map(([model, others]) => (
            <li key={model} className="py-2">
              {editing === model ? (
                <ChainForm
                  model={model}
                  others={others}
                  names={names}
                  onSave={store}
                  onCancel={() => setEditing(null)}
                />
              ) : (
                <div className="flex min-h-8 items-center gap-3">
                  <div className="min-w-0 break-words">
                    <code className="text-sm">{model}</code>
                    <span className="text-ink-3">
                      {' then '}
                      {others.join(', then ')}
                      {data.fromFile.includes(model) && ' (as the server was started)'}
                    </span>
                  </div>
                  {admin && (
                    <div className="ml-auto flex shrink-0 gap-1">
                      <Button variant="ghost" onClick={() => setEditing(model)}>
                        Change
                      </Button>
                      <Button
                        variant="ghost"
                        disabled={save.isPending}
                        onClick={() => quietly({ chains: { [model]: [] } })}
                      >
                        Remove
                      </Button>
                    </div>
                  )}
                </div>
              )}
            </li>
          ))}
        </ul>
      )}
      {admin && editing === '' && (
        <ChainForm
          model=""
          others={[]}
          names={names}
          onSave={store}
          onCancel={() => setEditing(null)}
        />
      )}
      {admin && editing === null && (
        <div>
          <Button onClick={() => setEditing('')}>Add a fallback</Button>
        </div>
      )}
      <FirstByte data={data} admin={admin} onSave={quietly} />
    </div>
  )
}

function ChainForm({
  model,
  others,
  names,
  onSave,
  onCancel,
}: {
  model: string
  others: readonly string[]
  names: string
  onSave: (model: string, others: string[]) => Promise<void>
  onCancel: () => void
}) {
  const [asked, setAsked] = useState(model)
  const [text, setText] = useState(others.join(', '))
  const [error, setError] = useState<string | null>(null)
  const [busy, setBusy] = useState(false)
  const list = text.split(/[\s,]+/).filter(Boolean)
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    setBusy(true)
    setError(null)
    try {
      await onSave(asked.trim(), list)
    } catch (cause) {
      setError(wordsOf(cause))
      setBusy(false)
    }
  }
  return (
    <form onSubmit={(event) => void submit(event)} className="flex max-w-140 flex-col gap-2">
      {model === '' && (
        <Field label="Model" note="PROVIDER/MODEL">
          {(ids) => (
            <Input
              {...ids}
              mono
              required
              list={names}
              placeholder="anthropic/claude-opus-4-6"
              value={asked}
              onChange={(event) => setAsked(event.target.value)}
            />
          )}
        </Field>
      )}
      <Field
        label={model === '' ? 'Asked in its place' : `Asked in place of ${model}`}
        note="One or more, with commas between them, in the order in which they are asked."
        error={error}
      >
        {(ids) => (
          <Input
            {...ids}
            mono
            required
            list={names}
            placeholder="openai/gpt-5, google/gemini-2.5-pro"
            value={text}
            onChange={(event) => setText(event.target.value)}
          />
        )}
      </Field>
      <div className="flex gap-2">
        <Button
          type="submit"
          variant="primary"
          disabled={busy || !asked.trim() || list.length === 0}
        >
          Save
        </Button>
        <Button onClick={onCancel}>Cancel</Button>
      </div>
    </form>
  )
}

function FirstByte({
  data,
  admin,
  onSave,
}: {
  data: Fallbacks
  admin: boolean
  onSave: (change: FallbacksChange) => void
}) {
  const [text, setText] = useState<string | null>(null)
  const shown = text ?? String(data.firstByteS)
  const keep = () => {
    const seconds = Number(shown)
    if (text !== null && shown.trim() && seconds !== data.firstByteS) {
      onSave({ firstByteS: seconds })
    }
    setText(null)
  }
  return (
    <div className="max-w-64">
      <Field
        label="A stream may take so long to begin"
        note="Seconds, then the next model is asked; 0 for as long as it takes."
      >
        {(ids) => (
          <Input
            {...ids}
            type="number"
            min={0}
            max={300}
            disabled={!admin}
            value={shown}
            onChange={(event) => setText(event.target.value)}
            onBlur={keep}
            onKeyDown={(event) => {
              if (event.key === 'Enter') keep()
            }}
          />
        )}
      </Field>
    </div>
  )
}
