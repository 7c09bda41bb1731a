// The limits of the machine, each with whether it is really enforced here and how. Changed while it runs.
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { wordsOf } from '@/api/http'
import { machineOf } from '@/api/machine'
import type { Limits } from '@/api/machine-types'
import type { Ability, Machine } from '@/api/types'
import { ofBackend } from '@/components/machine-words'
import { Ticked } from '@/components/ticked'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Input } from '@/ui/field'
import { Glyph } from '@/ui/glyph'
import { toast } from '@/ui/toasts'
import { bytes } from '@/util/format'
import { bytesText, parseBytes, parseCount, type Typed } from '@/util/units'

interface LimitField {
  key: keyof Limits
  label: string
  /** Its name in what a backend can. */
  can: string
  /** Its name among the abilities of the host. */
  ability: RegExp
  example: string
  read: (text: string) => Typed
  write: (value: number | null) => string
}

const plain = (value: number | null) => (value === null ? '' : String(value))

const FIELDS: readonly LimitField[] = [
  {
    key: 'memoryBytes',
    label: 'Memory',
    can: 'memory',
    ability: /memory/i,
    example: 'Like 4 GiB or 512 MiB; empty for none.',
    read: parseBytes,
    write: bytesText,
  },
  {
    key: 'cpus',
    label: 'Processors',
    can: 'cpu',
    ability: /cpu|processor/i,
    example: 'Like 2 or 0.5; empty for none.',
    read: (text) => parseCount(text, true),
    write: plain,
  },
  {
    key: 'pids',
    label: 'Processes',
    can: 'pids',
    ability: /process limit|pids/i,
    example: 'A whole number; empty for none.',
    read: (text) => parseCount(text),
    write: plain,
  },
  {
    key: 'diskBytes',
    label: 'Disk',
    can: 'disk',
    ability: /disk|quota/i,
    example: 'Like 20 GiB; empty for none.',
    read: parseBytes,
    write: bytesText,
  },
  {
    key: 'logBytes',
    label: 'Log folder',
    can: 'log',
    ability: /^log limit/,
    example: 'Like 4 GiB; empty for none.',
    read: parseBytes,
    write: bytesText,
  },
]

export function LimitsForm({ machine }: { machine: Machine }) {
  const { id } = useProject()
  const client = useQueryClient()
  const { data: doctor } = useQuery(queries.doctor)
  const abilities = ofBackend(doctor, machine) ?? machine.enforced
  const [typed, setTyped] = useState(
    () =>
      Object.fromEntries(
        FIELDS.map(({ key, write }) => [key, write(machine.limits[key])]),
      ) as Record<keyof Limits, string>,
  )
  const save = useMutation({
    mutationFn: (limits: Limits) => machineOf(id).setLimits(limits),
    onSuccess: ({ limits }) => {
      client.setQueryData<Machine>(
        queries.machine(id).queryKey,
        (before) => before && { ...before, limits },
      )
      void client.invalidateQueries({ queryKey: queries.machine(id).queryKey })
      void client.invalidateQueries({ queryKey: queries.disk(id).queryKey })
      toast.success('The limits are in force')
    },
  })
  const values = FIELDS.map(({ key, read }) => [key, read(typed[key])] as const)
  const valid = values.every(([, value]) => value !== undefined)
  const changed = values.some(([key, value]) => value !== machine.limits[key])
  const memory = values.find(([key]) => key === 'memoryBytes')?.[1]
  const used = machine.use?.memoryBytes ?? null
  const tight = changed && typeof memory === 'number' && used !== null && memory < used

  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        if (valid && changed) save.mutate(Object.fromEntries(values) as unknown as Limits)
      }}
    >
      <div className="flex flex-col gap-2.5">
        {FIELDS.map((field) => (
          <LimitRow
            key={field.key}
            field={field}
            value={typed[field.key]}
            enforced={machine.can.limits.includes(field.can)}
            ability={abilities.find(({ name }) => field.ability.test(name))}
            onChange={(text) => setTyped({ ...typed, [field.key]: text })}
          />
        ))}
      </div>
      {tight && (
        <p className="mt-2 text-amber-text">
          It uses {bytes(used)} now: with less, processes are ended at once.
        </p>
      )}
      {save.error && <p className="mt-2 text-red-text">{wordsOf(save.error)}</p>}
      {changed && (
        <div className="mt-3 flex gap-2">
          <Button type="submit" variant="primary" disabled={!valid || save.isPending}>
            {save.isPending ? 'Setting…' : 'Set limits'}
          </Button>
          <Button
            onClick={() =>
              setTyped(
                Object.fromEntries(
                  FIELDS.map(({ key, write }) => [key, write(machine.limits[key])]),
                ) as Record<keyof Limits, string>,
              )
            }
          >
            Leave them
          </Button>
        </div>
      )}
    </form>
  )
}

function LimitRow({
  field,
  value,
  enforced,
  ability,
  onChange,
}: {
  field: LimitField
  value: string
  enforced: boolean
  ability: Ability | undefined
  onChange: (text: string) => void
}) {
  const wrong = field.read(value) === undefined
  const fieldId = `limit-${field.key}`
  return (
    <div className="grid grid-cols-[104px_128px_1fr] items-start gap-x-3 max-sm:grid-cols-[104px_1fr]">
      <label htmlFor={fieldId} className="pt-1.5 text-ink-2">
        {field.label}
      </label>
      <Input
        id={fieldId}
        value={value}
        placeholder="no limit"
        aria-invalid={wrong}
        aria-describedby={`${fieldId}-note`}
        onChange={(event) => onChange(event.target.value)}
        className="tnum"
      />
      <div
        id={`${fieldId}-note`}
        className="flex min-h-8 items-start gap-1.5 pt-2 text-sm text-ink-3 max-sm:col-start-2 max-sm:pt-1"
      >
        {wrong ? (
          <span className="text-red-text">{field.example}</span>
        ) : (
          <>
            <span className="mt-0.5">
              <Glyph shape={enforced ? 'tick' : 'cross'} tone={enforced ? 'moss' : 'amber'} />
            </span>
            <span className="min-w-0 break-words">
              {enforced ? 'Enforced' : 'Not enforced here'}
              {ability && (
                <>
                  : <Ticked text={ability.how.replace(/\.$/, '')} />
                </>
              )}
              .
              {!enforced && ability?.remedy && (
                <span className="text-amber-text">
                  {' '}
                  <Ticked text={ability.remedy} />
                </span>
              )}
            </span>
          </>
        )}
      </div>
    </div>
  )
}
