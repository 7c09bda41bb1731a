// Money that may be spent on models, of a project or of all together, and what was.
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { wordsOf } from '@/api/http'
import { setBudget, type Budget, type BudgetBounds } from '@/api/usage'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Field, Input } from '@/ui/field'
import { Meter } from '@/ui/meter'
import { Failure, Skeleton } from '@/ui/state'
import { toast } from '@/ui/toasts'
import { money } from '@/util/format'
import { parseCount, type Typed } from '@/util/units'

const DOLLARS_MAX = 1_000_000

const FIELDS = [
  { key: 'runUsd', label: 'Each prompt, US$' },
  { key: 'monthUsd', label: 'Each month, US$' },
  { key: 'totalUsd', label: 'All time, US$' },
] as const satisfies readonly { key: keyof BudgetBounds; label: string }[]

/** Null for no bound; undefined for what is none. */
function read(text: string): Typed {
  if (text.trim() === '0') return 0
  const value = parseCount(text, true)
  return typeof value === 'number' && value > DOLLARS_MAX ? undefined : value
}

export function BudgetForm({
  project,
  readOnly = false,
}: {
  /** Null for all together. */
  project: string | null
  readOnly?: boolean
}) {
  const { data, error, isPending, refetch } = useQuery(queries.budget(project))
  if (isPending) return <Skeleton widths={[60, 40]} />
  if (!data) {
    return (
      <Failure
        compact
        title="The budget could not be read"
        message={wordsOf(error)}
        kept="It holds all the same."
        action={<Button onClick={() => void refetch()}>Try again</Button>}
      />
    )
  }
  const { runUsd, monthUsd, totalUsd } = data
  return (
    <Fields
      key={JSON.stringify([runUsd, monthUsd, totalUsd])}
      project={project}
      budget={data}
      readOnly={readOnly}
    />
  )
}

const textOf = (value: number | null) => (value === null ? '' : String(value))

function Fields({
  project,
  budget,
  readOnly,
}: {
  project: string | null
  budget: Budget
  readOnly: boolean
}) {
  const client = useQueryClient()
  const [typed, setTyped] = useState(() => ({
    runUsd: textOf(budget.runUsd),
    monthUsd: textOf(budget.monthUsd),
    totalUsd: textOf(budget.totalUsd),
  }))
  const save = useMutation({
    mutationFn: (bounds: BudgetBounds) => setBudget(project, bounds),
    onSuccess: (set) => {
      client.setQueryData(queries.budget(project).queryKey, set)
      toast.success('The budget is in force')
    },
  })
  const values = FIELDS.map(({ key }) => [key, read(typed[key])] as const)
  const valid = values.every(([, value]) => value !== undefined)
  const changed = values.some(([key, value]) => value !== budget[key])
  const spentOf = {
    runUsd: null,
    monthUsd: budget.spent.monthUsd,
    totalUsd: budget.spent.totalUsd,
  }
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        if (valid && changed) save.mutate(Object.fromEntries(values) as unknown as BudgetBounds)
      }}
    >
      <div className="grid grid-cols-3 gap-4 max-sm:grid-cols-1">
        {FIELDS.map(({ key, label }) => (
          <div key={key}>
            <Field
              label={label}
              note={spentNote(spentOf[key])}
              error={read(typed[key]) === undefined ? 'Like 5 or 0.50; empty for none.' : null}
            >
              {(ids) => (
                <Input
                  {...ids}
                  inputMode="decimal"
                  disabled={readOnly}
                  value={typed[key]}
                  onChange={(event) => setTyped({ ...typed, [key]: event.target.value })}
                />
              )}
            </Field>
            <SpentMeter label={label} spent={spentOf[key]} bound={budget[key]} />
          </div>
        ))}
      </div>
      {save.error && <p className="mt-2 text-red-text">{wordsOf(save.error)}</p>}
      {changed && (
        <div className="mt-3">
          <Button type="submit" variant="primary" disabled={!valid || save.isPending}>
            {save.isPending ? 'Setting…' : 'Set budget'}
          </Button>
        </div>
      )}
    </form>
  )
}

const spentNote = (spent: number | null) =>
  spent === null ? 'Empty for none.' : `${money(spent)} spent; empty for none.`

function SpentMeter({
  label,
  spent,
  bound,
}: {
  label: string
  spent: number | null
  bound: number | null
}) {
  if (spent === null || bound === null) return null
  return (
    <div className="mt-1.5">
      <Meter part={bound === 0 ? 1 : spent / bound} label={`${label}, spent`} />
    </div>
  )
}
