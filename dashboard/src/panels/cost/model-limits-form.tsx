// How often the programs of the project may ask models. Held by the gateway, at once.
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { wordsOf } from '@/api/http'
import { setModelLimits, type ModelLimits } from '@/api/usage'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Field, Input } from '@/ui/field'
import { Failure, Skeleton } from '@/ui/state'
import { toast } from '@/ui/toasts'
import { parseCount, type Typed } from '@/util/units'

const FIELDS = [
  { key: 'callsAtOnce', label: 'Calls at once', most: 64 },
  { key: 'callsPerMinute', label: 'Calls a minute', most: 6000 },
] as const satisfies readonly { key: keyof ModelLimits; label: string; most: number }[]

export function ModelLimitsPart() {
  const { id } = useProject()
  const { data, error, isPending, refetch } = useQuery(queries.modelLimits(id))
  return (
    <section className="mt-5 border-t pt-3">
      <h3 className="font-semibold">Limits</h3>
      <p className="text-sm text-pretty text-ink-3">
        For all programs of the project together. The agent waits where one is reached, and goes on
        by itself; other programs are told to ask again.
      </p>
      <div className="mt-2">
        {data ? (
          <ModelLimitsForm key={JSON.stringify(data)} id={id} limits={data} />
        ) : isPending ? (
          <Skeleton widths={[40, 40]} />
        ) : (
          <Failure
            compact
            title="The limits could not be read"
            message={wordsOf(error)}
            action={<Button onClick={() => void refetch()}>Try again</Button>}
          />
        )}
      </div>
    </section>
  )
}

/** Within what can be set; undefined for what is none. */
function read(text: string, most: number): Typed {
  const value = parseCount(text)
  return typeof value === 'number' && (value < 1 || value > most) ? undefined : value
}

function ModelLimitsForm({ id, limits }: { id: string; limits: ModelLimits }) {
  const client = useQueryClient()
  const [typed, setTyped] = useState(() => ({
    callsAtOnce: String(limits.callsAtOnce ?? ''),
    callsPerMinute: String(limits.callsPerMinute ?? ''),
  }))
  const save = useMutation({
    mutationFn: (wanted: ModelLimits) => setModelLimits(id, wanted),
    onSuccess: (set) => {
      client.setQueryData(queries.modelLimits(id).queryKey, set)
      toast.success('The limits are in force')
    },
  })
  const values = FIELDS.map(({ key, most }) => [key, read(typed[key], most)] as const)
  const valid = values.every(([, value]) => value !== undefined)
  const changed = values.some(([key, value]) => value !== limits[key])
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        if (valid && changed) save.mutate(Object.fromEntries(values) as unknown as ModelLimits)
      }}
    >
      <div className="grid grid-cols-2 gap-4 max-sm:grid-cols-1">
        {FIELDS.map(({ key, label, most }) => (
          <Field
            key={key}
            label={label}
            note={`1 to ${most}; empty for none.`}
            error={read(typed[key], most) === undefined ? `A whole number, 1 to ${most}.` : null}
          >
            {(ids) => (
              <Input
                {...ids}
                inputMode="numeric"
                value={typed[key]}
                onChange={(event) => setTyped({ ...typed, [key]: event.target.value })}
              />
            )}
          </Field>
        ))}
      </div>
      {save.error && <p className="mt-2 text-red-text">{wordsOf(save.error)}</p>}
      {changed && (
        <div className="mt-3">
          <Button type="submit" variant="primary" disabled={!valid || save.isPending}>
            {save.isPending ? 'Setting…' : 'Set limits'}
          </Button>
        </div>
      )}
    </form>
  )
}
