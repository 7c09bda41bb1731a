// What may be done to the machine as it stands. What its backend cannot is not offered.
import type { Machine } from '@/api/types'
import { runById } from '@/hooks/commands'
import { useProject } from '@/hooks/live'
import { useMachineActions } from '@/hooks/machine'
import { Button } from '@/ui/button'

export function MachineActions({ machine }: { machine: Machine }) {
  const { id } = useProject()
  const { start, wake, freeze, thaw, sleep } = useMachineActions(id)
  const { state, can } = machine
  const busy = [start, wake, freeze, thaw, sleep].some((action) => action.isPending)
  const alive = state === 'running' || state === 'frozen'
  return (
    <div className="flex flex-wrap gap-2">
      {state === 'running' && can.freeze && (
        <Button icon="pause" disabled={busy} onClick={() => freeze.mutate()}>
          Freeze
        </Button>
      )}
      {state === 'frozen' && (
        <Button variant="primary" icon="play" disabled={busy} onClick={() => thaw.mutate()}>
          Thaw
        </Button>
      )}
      {alive && (
        <Button
          disabled={busy}
          title="Its processes end; the next request wakes it."
          onClick={() => sleep.mutate()}
        >
          {sleep.isPending ? 'Going cold…' : 'Sleep'}
        </Button>
      )}
      {state === 'cold' && (
        <Button variant="primary" icon="sun" disabled={busy} onClick={() => wake.mutate()}>
          {wake.isPending ? 'Waking…' : 'Wake'}
        </Button>
      )}
      {(alive || state === 'cold') && (
        <Button icon="stop" onClick={() => runById('machine.stop')}>
          Stop…
        </Button>
      )}
      {(state === 'stopped' || state === 'error') && (
        <Button variant="primary" icon="power" disabled={busy} onClick={() => start.mutate()}>
          {start.isPending ? 'Starting…' : state === 'error' ? 'Start again' : 'Start'}
        </Button>
      )}
    </div>
  )
}
