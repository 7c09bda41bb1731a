// Says above a panel when its machine cannot work: stopped, failed. Reading stays possible.
import { useProject } from '@/hooks/live'
import { useMachineActions, useMachineState } from '@/hooks/machine'
import { Button } from '@/ui/button'
import { Strip } from '@/ui/state'

export function MachineStrip() {
  const { id } = useProject()
  const { machine, closed } = useMachineState()
  const { start } = useMachineActions(id)
  if (!machine || !closed) return null
  const failed = machine.state === 'error'
  return (
    <Strip
      tone={failed ? 'red' : 'quiet'}
      action={
        <Button disabled={start.isPending} onClick={() => start.mutate()}>
          {start.isPending ? 'Starting…' : failed ? 'Start again' : 'Start'}
        </Button>
      }
    >
      {failed
        ? `The machine failed: ${(machine.stateReason ?? 'no reason was given').replace(/\.$/, '')}. Files and conversations are kept.`
        : 'The machine is stopped. You can read; to go on, start it.'}
    </Strip>
  )
}
