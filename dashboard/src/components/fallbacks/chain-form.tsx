// Who stands in for a model, in which order.
import { useState, type FormEvent } from 'react'
import { wordsOf } from '@/api/http'
import { Button, IconButton } from '@/ui/button'
import { Field } from '@/ui/field'
import { ModelInput } from './model-input'

/** As many as the server takes. */
const CHAIN_MAX = 8

export function ChainForm({
  model,
  others,
  onSave,
  onCancel,
}: {
  /** Empty: it is asked for. */
  model: string
  others: readonly string[]
  onSave: (model: string, others: string[]) => Promise<void>
  onCancel: () => void
}) {
  const [asked, setAsked] = useState(model)
  // Rows keep their place in the document by a key of their own, whatever stands in them.
  const [rows, setRows] = useState(() =>
    (others.length > 0 ? others : ['']).map((text, key) => ({ key, text })),
  )
  const [error, setError] = useState<string | null>(null)
  const [busy, setBusy] = useState(false)
  const named = rows.map((row) => row.text.trim())
  // What was wrong with it may be right now.
  const change = (next: typeof rows) => {
    setError(null)
    setRows(next)
  }
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    setBusy(true)
    setError(null)
    try {
      await onSave(asked.trim(), named)
    } catch (cause) {
      setError(wordsOf(cause))
      setBusy(false)
    }
  }
  return (
    <form onSubmit={(event) => void submit(event)} className="flex max-w-140 flex-col gap-3">
      {model === '' && (
        <Field label="Model" note="PROVIDER/MODEL, or PROVIDER/* for all models of a provider.">
          {(ids) => (
            <ModelInput
              {...ids}
              all
              placeholder="anthropic/claude-opus-4-6"
              value={asked}
              onChange={(text) => {
                setError(null)
                setAsked(text)
              }}
            />
          )}
        </Field>
      )}
      <fieldset className="flex flex-col gap-1">
        <legend className="mb-1 text-sm font-medium text-ink-2">
          {model === '' ? 'Asked in its place, in this order' : `Asked in place of ${model}`}
        </legend>
        <ol className="flex flex-col gap-1">
          {rows.map((row, at) => (
            <li key={row.key} className="flex items-center gap-1">
              <span className="tnum w-4 shrink-0 text-sm text-ink-3" aria-hidden>
                {at + 1}
              </span>
              <ModelInput
                aria-label={`${at + 1}. model to ask`}
                aria-invalid={error !== null}
                placeholder="openai/gpt-5"
                value={row.text}
                onChange={(text) => change(rows.with(at, { ...row, text }))}
              />
              <IconButton
                icon="arrowUp"
                label={`Ask ${row.text || 'it'} earlier`}
                disabled={at === 0}
                onClick={() => change(rows.toSpliced(at, 1).toSpliced(at - 1, 0, row))}
              />
              <IconButton
                icon="close"
                label={`Do not ask ${row.text || 'it'}`}
                disabled={rows.length === 1}
                onClick={() => change(rows.toSpliced(at, 1))}
              />
            </li>
          ))}
        </ol>
        {error && (
          <p role="alert" className="text-sm break-words text-red-text">
            {error}
          </p>
        )}
      </fieldset>
      <div className="flex flex-wrap gap-2">
        <Button
          type="submit"
          variant="primary"
          disabled={busy || !asked.trim() || named.includes('')}
        >
          {busy ? 'Saving…' : 'Save'}
        </Button>
        {rows.length < CHAIN_MAX && (
          <Button
            icon="add"
            onClick={() =>
              setRows([...rows, { key: Math.max(...rows.map((row) => row.key)) + 1, text: '' }])
            }
          >
            One more
          </Button>
        )}
        <Button variant="ghost" onClick={onCancel}>
          Cancel
        </Button>
      </div>
    </form>
  )
}
