// Which model is asked in whose place: one row each, changed in its own place.
import { useState, type ReactNode } from 'react'
import type { Chains } from '@/api/fallbacks'
import { Button } from '@/ui/button'
import { ChainForm } from './chain-form'

interface Row {
  model: string
  others: readonly string[]
  /** Whose it is, where that is not plain. */
  note?: string
  /** What else can be done with it than to change it. */
  action?: { words: string; does: () => void }
}

export function ChainList({
  rows,
  unlisted,
  readOnly,
  busy,
  empty,
  onSave,
}: {
  rows: readonly Row[]
  unlisted: readonly string[]
  readOnly: boolean
  busy: boolean
  empty: ReactNode
  onSave: (chains: Chains) => Promise<unknown>
}) {
  // Empty: a new one.
  const [editing, setEditing] = useState<string | null>(null)
  const form = (model: string, others: readonly string[]) => (
    <ChainForm
      model={model}
      others={others}
      onSave={async (asked, named) => {
        await onSave({ [asked]: named })
        setEditing(null)
      }}
      onCancel={() => setEditing(null)}
    />
  )
  return (
    <div className="flex flex-col gap-3">
      {rows.length === 0 && editing === null && <p className="text-pretty text-ink-3">{empty}</p>}
      {rows.length > 0 && (
        <ul className="divide-y divide-line border-y">
          {rows.map((row) => (
            <li key={row.model} aria-label={row.model} className="py-2">
              {editing === row.model ? (
                form(row.model, row.others)
              ) : (
                <div className="flex min-h-8 items-center gap-3 max-sm:flex-wrap">
                  <Words row={row} />
                  {!readOnly && (
                    <div className="ml-auto flex shrink-0 gap-1">
                      <Button variant="ghost" onClick={() => setEditing(row.model)}>
                        Change
                      </Button>
                      {row.action && (
                        <Button variant="ghost" disabled={busy} onClick={row.action.does}>
                          {row.action.words}
                        </Button>
                      )}
                    </div>
                  )}
                </div>
              )}
            </li>
          ))}
        </ul>
      )}
      {unlisted.length > 0 && (
        <p className="text-sm break-words text-ink-3">
          Not in the list of models: {unlisted.join(', ')}. It is asked all the same; look at how it
          is written.
        </p>
      )}
      {!readOnly && editing === '' && form('', [])}
      {!readOnly && editing === null && (
        <div>
          <Button icon="add" onClick={() => setEditing('')}>
            Add a fallback
          </Button>
        </div>
      )}
    </div>
  )
}

function Words({ row: { model, others, note } }: { row: Row }) {
  const provider = model.endsWith('/*') ? model.slice(0, -2) : null
  return (
    <div className="min-w-0 break-words">
      {provider === null ? (
        <code className="text-sm">{model}</code>
      ) : (
        <span>
          all models of <code className="text-sm">{provider}</code>
        </span>
      )}
      <span className="text-ink-3">
        {others.length === 0 ? ': nobody' : ' then '}
        {others.map((other, at) => (
          <span key={other}>
            {at > 0 && ', then '}
            <code className="text-sm text-ink-2">{other}</code>
          </span>
        ))}
        {note && ` (${note})`}
      </span>
    </div>
  )
}
