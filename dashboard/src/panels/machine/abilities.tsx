// What this host really enforces for the machine, and how; opened on demand.
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import type { Machine } from '@/api/types'
import { ofBackend } from '@/components/machine-words'
import { Ticked } from '@/components/ticked'
import { queries } from '@/hooks/queries'
import { Glyph } from '@/ui/glyph'
import { Icon } from '@/ui/icons'
import { cx } from '@/util/class'
import { capital } from '@/util/format'

/** What the backend does with disks and memory, beside the walls. */
function canList({ can, backend }: Machine): { name: string; yes: boolean; how: string }[] {
  return [
    {
      name: 'Checkpoints',
      yes: can.checkpoint,
      how: !can.checkpoint
        ? `not with the backend ${backend}`
        : can.liveCheckpoint
          ? 'while it runs, in about a millisecond'
          : 'the machine stands still meanwhile',
    },
    { name: 'Forks', yes: can.fork, how: can.fork ? 'from its disk' : `not with ${backend}` },
    {
      name: 'Freezing',
      yes: can.freeze,
      how: can.freeze ? 'processes stand still in memory' : 'it can only run or go cold',
    },
    {
      name: 'Guarded network',
      yes: can.egress,
      how: can.egress ? 'all that it sends passes the gateway' : 'it sends past the gateway',
    },
  ]
}

export function Abilities({ machine }: { machine: Machine }) {
  const { data: doctor } = useQuery(queries.doctor)
  const [open, setOpen] = useState(false)
  const abilities = [
    ...canList(machine).map(({ name, yes, how }) => ({ name, enforced: yes, how, remedy: null })),
    ...(ofBackend(doctor, machine) ?? machine.enforced),
  ]
  const count = abilities.filter((ability) => ability.enforced).length
  return (
    <div className="mt-2">
      <button
        type="button"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
        className="-ml-1.5 flex h-7 items-center gap-1.5 rounded-md pr-2 pl-1 text-ink-2 hover:bg-hover max-md:h-10"
      >
        <Icon name="chevron" width={12} height={12} className={cx(open && 'rotate-90')} />
        {count} of {abilities.length} protections and abilities are in force
      </button>
      {open && (
        <ul className="mt-1 divide-y divide-line border-y">
          {abilities.map((ability) => (
            <li key={ability.name} className="grid grid-cols-[12px_1fr] gap-x-3 py-1.5">
              <span className="mt-1">
                <Glyph
                  shape={ability.enforced ? 'tick' : 'cross'}
                  tone={ability.enforced ? 'moss' : 'amber'}
                  title={ability.enforced ? 'in force' : 'not in force'}
                />
              </span>
              <span className="min-w-0 break-words">
                <span className="font-medium">{capital(ability.name)}</span>{' '}
                <span className="text-ink-3">
                  <Ticked text={ability.how} />
                </span>
                {!ability.enforced && ability.remedy && (
                  <span className="block text-amber-text">
                    <Ticked text={ability.remedy} />
                  </span>
                )}
              </span>
            </li>
          ))}
        </ul>
      )}
    </div>
  )
}
