// How much one prompt may take before it ends by itself.
import { useState } from 'react'
import type { PromptLimits } from '@/api/bridge-types'
import { wordsOf } from '@/api/http'
import { useAgentConfig } from '@/hooks/agent-config'
import { useOpenPanel } from '@/hooks/dock'
import { Button } from '@/ui/button'
import { Field, Input } from '@/ui/field'
import { toast } from '@/ui/toasts'
import { parseCount, parseSpan, spanWords, type Typed } from '@/util/units'
import { Part } from './part'

/** As many as the loop makes for one prompt. */
const STEPS_MAX = 500
const NANO = 1e9
const DOLLARS_MAX = 1_000_000

interface LimitField {
  key: keyof PromptLimits
  label: string
  /** What holds when it is empty. */
  none: string
  note: string
  wrong: string
  read: (text: string) => Typed
  write: (value: number) => string
}

const FIELDS: readonly LimitField[] = [
  {
    key: 'steps',
    label: 'Model calls',
    none: String(STEPS_MAX),
    note: `1 to ${STEPS_MAX}.`,
    wrong: `A whole number, 1 to ${STEPS_MAX}.`,
    read: (text) => {
      const value = parseCount(text)
      return typeof value === 'number' && value > STEPS_MAX ? undefined : value
    },
    write: String,
  },
  {
    key: 'seconds',
    label: 'Time',
    none: 'no limit',
    note: 'Like 20 min or 2 h.',
    wrong: 'Like 20 min or 2 h.',
    read: parseSpan,
    write: spanWords,
  },
  {
    key: 'money',
    label: 'Money, US$',
    none: 'no limit',
    note: 'As far as prices are known.',
    wrong: 'Like 5 or 0.50; empty for none.',
    read: (text) => {
      const value = parseCount(text, true)
      if (typeof value !== 'number') return value
      return value > DOLLARS_MAX ? undefined : Math.round(value * NANO)
    },
    write: (value) => String(value / NANO),
  },
]

export function PromptLimitsPart({
  limits,
  readOnly,
}: {
  limits: PromptLimits
  readOnly: boolean
}) {
  const openPanel = useOpenPanel()
  return (
    <Part
      anchor="limits"
      title="Limits of a prompt"
      note={
        <>
          One that reaches a limit ends there, with its helpers, and can be gone on with. What the
          whole project may spend is set under{' '}
          <button
            type="button"
            className="text-blue hover:underline"
            onClick={() => openPanel({ kind: 'cost' })}
          >
            Cost
          </button>
          .
        </>
      }
    >
      <LimitsForm key={JSON.stringify(limits)} limits={limits} readOnly={readOnly} />
    </Part>
  )
}

const textOf = ({ key, write }: LimitField, limits: PromptLimits) => {
  const value = limits[key]
  return value === undefined ? '' : write(value)
}

function LimitsForm({ limits, readOnly }: { limits: PromptLimits; readOnly: boolean }) {
  const save = useAgentConfig()
  const [typed, setTyped] = useState<Record<string, string>>(() =>
    Object.fromEntries(FIELDS.map((field) => [field.key, textOf(field, limits)])),
  )
  const values = FIELDS.map((field) => [field.key, field.read(typed[field.key] ?? '')] as const)
  const valid = values.every(([, value]) => value !== undefined)
  const changed = values.some(([key, value]) => value !== (limits[key] ?? null))
  const submit = () => {
    const wanted = Object.fromEntries(values.filter(([, value]) => typeof value === 'number'))
    save.mutate(
      { limits: wanted as PromptLimits },
      { onSuccess: () => toast.success('The limits hold from the next prompt on') },
    )
  }
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        if (valid && changed && !save.isPending) submit()
      }}
    >
      <fieldset
        disabled={readOnly}
        className="grid min-w-0 grid-cols-3 gap-4 max-sm:grid-cols-1 max-sm:gap-3"
      >
        {FIELDS.map(({ key, label, none, note, wrong, read }) => (
          <Field
            key={key}
            label={label}
            note={note}
            error={read(typed[key] ?? '') === undefined ? wrong : null}
          >
            {(ids) => (
              <Input
                {...ids}
                inputMode={key === 'seconds' ? 'text' : 'decimal'}
                placeholder={none}
                className="tnum"
                value={typed[key] ?? ''}
                onChange={(event) => setTyped({ ...typed, [key]: event.target.value })}
              />
            )}
          </Field>
        ))}
      </fieldset>
      {save.error && (
        <p role="alert" className="mt-2 text-red-text">
          The limits were not set: {wordsOf(save.error)}
        </p>
      )}
      {changed && !readOnly && (
        <div className="mt-3">
          <Button type="submit" variant="primary" disabled={!valid || save.isPending}>
            {save.isPending ? 'Setting…' : 'Set limits'}
          </Button>
        </div>
      )}
    </form>
  )
}
