// What the machine may reach, and what it tried: a level, the hosts of the allow-list, and the log with
// one click to allow what was blocked. People set it; nothing inside the machine can.
import { useEffect } from 'react'
import { wordsOf } from '@/api/http'
import type { EgressLevel } from '@/api/machine-types'
import type { PanelProps } from '@/hooks/dock'
import { useEgress, useEgressLog, useSetEgress } from '@/hooks/egress'
import { Button } from '@/ui/button'
import { Segments } from '@/ui/field'
import { Failure, Skeleton, Strip } from '@/ui/state'
import { plural } from '@/util/format'
import { Ceiling } from './ceiling'
import { ConnectionLog } from './connection-log'
import { changed, LABEL, LEVELS, wider } from './levels'
import { Rules } from './rules'

const MEANING: Record<EgressLevel, string> = {
  none: 'It reaches models through the gateway, and nothing else.',
  'allow-list': 'It reaches models and the hosts below. Everything else is blocked.',
  open: 'It reaches every public host. Private, local and metadata addresses stay blocked.',
}

export function NetworkPanel({ visible, setTitle }: PanelProps<'network'>) {
  const { data: egress, error, isPending, refetch } = useEgress()
  const log = useEgressLog(visible)
  const { set } = useSetEgress()
  useEffect(() => setTitle('Network'), [setTitle])
  if (isPending) return <Skeleton className="p-4" words="Reading the network…" />
  if (!egress) {
    return (
      <Failure
        title="What the machine may reach could not be read"
        message={wordsOf(error)}
        action={<Button onClick={() => void refetch()}>Try again</Button>}
      />
    )
  }
  const shown = set.isPending ? changed(egress, set.variables) : egress
  const open = log.log?.open ?? []
  return (
    <>
      {error && <Strip tone="amber">Not read anew: {wordsOf(error)}</Strip>}
      {log.error !== null && <Strip tone="amber">The log is not followed: {log.error}</Strip>}
      {!egress.enforced && (
        <Strip tone="amber">
          The backend of this server lets programs go out past the gateway: nothing here is
          enforced.
        </Strip>
      )}
      <div className="min-h-0 grow overflow-y-auto">
        <div className="border-b px-4 py-3">
          <Segments
            label="What the machine may reach"
            value={shown.level}
            options={LEVELS.map((one) => ({ ...one, disabled: wider(one.value, shown.ceiling) }))}
            disabled={set.isPending}
            onChange={(level) => set.mutate({ level })}
          />
          <p className="mt-2 text-pretty text-ink-2">
            {shown.inForce !== shown.level && `Set to ${LABEL[shown.level]}; the ceiling holds. `}
            {MEANING[shown.inForce]}
            {shown.isDefault && ' That is the default of this server.'}
          </p>
          <Ceiling
            egress={shown}
            busy={set.isPending}
            onChange={(ceiling) => set.mutate({ ceiling })}
          />
          {open.length > 0 && (
            <p className="mt-0.5 text-pretty text-sm text-ink-3">
              {plural(open.length, 'connection')} {open.length === 1 ? 'is' : 'are'} open. A
              stricter level cuts at once what it does not allow.
            </p>
          )}
          <Rules setting={shown} />
        </div>
        <ConnectionLog setting={shown} {...log} />
      </div>
    </>
  )
}
