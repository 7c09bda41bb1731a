// The machine of the project: how it stands and what that means, what it uses, its limits, when it
// rests, its disk, and what this host can do for it.
import { useQuery } from '@tanstack/react-query'
import { useEffect, type ReactNode } from 'react'
import { wordsOf } from '@/api/http'
import type { Machine } from '@/api/types'
import { egressWords, MEANING } from '@/components/machine-words'
import { LookGlyph, machineLook } from '@/components/project-state'
import type { PanelProps } from '@/hooks/dock'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Meter } from '@/ui/meter'
import { Failure, Skeleton, Strip } from '@/ui/state'
import { Ago } from '@/ui/time'
import { bytes, momentOf } from '@/util/format'
import { Abilities } from './abilities'
import { Disk } from './disk'
import { LimitsForm } from './limits-form'
import { MachineActions } from './machine-actions'
import { Rest } from './rest'
import { ReachedLimits } from './reached-limits'

/** Wakes that are shown; the server keeps more. */
const WAKES_MAX = 8

export function MachinePanel({ setTitle }: PanelProps<'machine'>) {
  const { id } = useProject()
  const { data: machine, error, isPending, refetch } = useQuery(queries.machine(id))
  useEffect(() => setTitle('Machine'), [setTitle])
  if (isPending) return <Skeleton className="p-4" words="Reading the machine…" />
  if (!machine) {
    return (
      <Failure
        title="The machine could not be read"
        message={wordsOf(error)}
        action={<Button onClick={() => void refetch()}>Try again</Button>}
      />
    )
  }
  const look = machineLook(machine.state)
  return (
    <>
      {error && <Strip tone="amber">Not read anew: {wordsOf(error)}</Strip>}
      <div className="min-h-0 grow overflow-y-auto">
        <div className="mx-auto max-w-160 px-5 py-4 max-md:px-4">
          <div className="flex flex-wrap items-start gap-x-4 gap-y-3">
            <div className="min-w-60 flex-1">
              <h2 className="flex items-center gap-2 text-lg font-semibold">
                <LookGlyph look={look} />
                {look.word}
              </h2>
              <p className="mt-0.5 text-pretty text-ink-2">{MEANING[machine.state]}</p>
              {machine.stateReason && (
                <p className="mt-1 break-words text-pretty text-amber-text">
                  {machine.stateReason}
                </p>
              )}
            </div>
            <MachineActions machine={machine} />
          </div>
          <ReachedLimits />
          <Use machine={machine} />
          <Part
            title="Limits"
            note="Of the work processes: agent, services, terminals. In force at once."
          >
            <LimitsForm key={JSON.stringify(machine.limits)} machine={machine} />
          </Part>
          <Part title="Rest">
            <Rest machine={machine} />
          </Part>
          <Part title="Disk">
            <Disk machine={machine} />
          </Part>
          <Part title="Woken">
            <Wakes wakes={machine.wakes} />
          </Part>
          <Part title="Host">
            <dl className="grid grid-cols-[104px_1fr] gap-x-3 gap-y-1">
              <Fact name="Backend">{machine.backend}</Fact>
              <Fact name="Image">{machine.image}</Fact>
              <Fact name="Storage">{machine.storage}</Fact>
              <Fact name="Network">{egressWords(machine.egress)}</Fact>
            </dl>
            <Abilities machine={machine} />
          </Part>
        </div>
      </div>
    </>
  )
}

function Part({ title, note, children }: { title: string; note?: string; children: ReactNode }) {
  return (
    <section className="mt-4 border-t pt-3">
      <h3 className="font-semibold">{title}</h3>
      {note && <p className="text-sm text-ink-3">{note}</p>}
      <div className="mt-2">{children}</div>
    </section>
  )
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-ink-3">{name}</dt>
      <dd className="tnum min-w-0 break-words">{children}</dd>
    </>
  )
}

function Use({ machine }: { machine: Machine }) {
  const { state, use, limits, startedAt, frozenAt } = machine
  if (state !== 'running' && state !== 'frozen') return null
  const memory = use?.memoryBytes ?? null
  const pids = use?.pids ?? null
  const since = momentOf(state === 'frozen' ? (frozenAt ?? startedAt) : startedAt)
  return (
    <dl className="mt-4 grid grid-cols-3 gap-x-5 border-t pt-3 max-sm:grid-cols-2 max-sm:gap-y-3">
      <Amount
        name="Memory"
        used={memory === null ? null : bytes(memory)}
        limit={limits.memoryBytes === null ? null : bytes(limits.memoryBytes)}
        part={memory !== null && limits.memoryBytes ? memory / limits.memoryBytes : null}
      />
      <Amount
        name="Processes"
        used={pids === null ? null : pids.toLocaleString('en-US')}
        limit={limits.pids === null ? null : limits.pids.toLocaleString('en-US')}
        part={pids !== null && limits.pids ? pids / limits.pids : null}
      />
      {Number.isFinite(since) && (
        <div>
          <dt className="text-sm text-ink-3">{state === 'frozen' ? 'Frozen' : 'Started'}</dt>
          <dd>
            <Ago at={since} />
          </dd>
        </div>
      )}
    </dl>
  )
}

function Amount({
  name,
  used,
  limit,
  part,
}: {
  name: string
  used: string | null
  limit: string | null
  part: number | null
}) {
  return (
    <div>
      <dt className="text-sm text-ink-3">{name}</dt>
      <dd className="tnum">
        {used ?? <span className="text-ink-3">not counted here</span>}
        {used !== null && (
          <span className="text-ink-3">{limit === null ? ', no limit' : ` of ${limit}`}</span>
        )}
        {part !== null && (
          <span className="mt-1.5 block">
            <Meter part={part} label={`${name} used`} />
          </span>
        )}
      </dd>
    </div>
  )
}

function Wakes({ wakes }: { wakes: Machine['wakes'] }) {
  if (wakes.length === 0) {
    return (
      <p className="text-ink-3">Nothing has woken it yet. Every wake shows here with its cause.</p>
    )
  }
  return (
    <ul>
      {wakes.slice(0, WAKES_MAX).map(({ at, cause }) => (
        <li key={`${at}`} className="flex min-h-6 gap-3">
          <Ago at={momentOf(at)} className="w-22 shrink-0 text-ink-3" />
          <span className="min-w-0 break-words">{cause}</span>
        </li>
      ))}
    </ul>
  )
}
