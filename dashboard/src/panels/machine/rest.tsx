// When a machine that nobody uses is put away: a choice each, in force at once.
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { wordsOf } from '@/api/http'
import { machineOf } from '@/api/machine'
import type { IdleRule } from '@/api/machine-types'
import type { Machine } from '@/api/types'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { CONTROL } from '@/ui/field'
import { toast } from '@/ui/toasts'
import { spanWords } from '@/util/units'

const SPANS_S = [60, 300, 900, 1800, 3600, 4 * 3600, 86_400, 7 * 86_400]

export function Rest({ machine }: { machine: Machine }) {
  const { id } = useProject()
  const client = useQueryClient()
  const save = useMutation({
    mutationFn: (rule: IdleRule) => machineOf(id).setIdle(rule),
    onSuccess: (idle) => {
      client.setQueryData<Machine>(
        queries.machine(id).queryKey,
        (before) => before && { ...before, idle },
      )
    },
    onError: (error) => toast.error('It was not changed', wordsOf(error)),
  })
  const idle = save.isPending ? save.variables : machine.idle
  const { freezeAfterS, coldAfterS } = idle
  const freezes = machine.can.freeze && freezeAfterS !== null
  return (
    <>
      <div className="grid grid-cols-2 gap-3 sm:max-w-100">
        {machine.can.freeze && (
          <Span
            label="Freeze after"
            value={freezeAfterS}
            onChange={(s) => save.mutate({ ...idle, freezeAfterS: s })}
          />
        )}
        <Span
          label="Cold after"
          value={coldAfterS}
          onChange={(s) => save.mutate({ ...idle, coldAfterS: s })}
        />
      </div>
      <p className="mt-2 text-pretty text-ink-2">
        {restWords(freezes ? freezeAfterS : null, coldAfterS)} An agent at work, a command that runs
        or a program in a terminal keeps it awake; a service alone does not.
        {!machine.can.freeze && ` The backend ${machine.backend} cannot freeze machines.`}
      </p>
    </>
  )
}

function restWords(freezeAfterS: number | null, coldAfterS: number | null): string {
  if (freezeAfterS === null && coldAfterS === null) return 'It never rests by itself.'
  if (coldAfterS === null) {
    return `Without use for ${spanWords(freezeAfterS ?? 0)} it freezes, and stays in memory.`
  }
  const cold = `after ${spanWords(coldAfterS)} it goes cold.`
  if (freezeAfterS === null || freezeAfterS >= coldAfterS) return `Without use, ${cold}`
  return `Without use for ${spanWords(freezeAfterS)} it freezes; ${cold}`
}

const NEVER = 'never'

function Span({
  label,
  value,
  onChange,
}: {
  label: string
  value: number | null
  onChange: (seconds: number | null) => void
}) {
  const spans =
    value === null || SPANS_S.includes(value)
      ? SPANS_S
      : [...SPANS_S, value].toSorted((a, b) => a - b)
  return (
    <label className="flex flex-col gap-1">
      <span className="text-sm font-medium text-ink-2">{label}</span>
      <select
        value={value ?? NEVER}
        onChange={(event) =>
          onChange(event.target.value === NEVER ? null : Number(event.target.value))
        }
        className={`${CONTROL} select`}
      >
        {spans.map((seconds) => (
          <option key={seconds} value={seconds}>
            {spanWords(seconds)}
          </option>
        ))}
        <option value={NEVER}>never</option>
      </select>
    </label>
  )
}
