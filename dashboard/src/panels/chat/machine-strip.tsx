// Says above a panel when its machine cannot work: stopped, failed. Reading stays possible.
import { useQuery } from '@tanstack/react-query'
import { useProject } from '@/hooks/live'
import { useMachineActions } from '@/hooks/machine'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Strip } from '@/ui/state'

export function MachineStrip() {
  const { id } = useProject()
  const { data: machine } = useQuery(queries.machine(id))
  const { start } = useMachineActions(id)
  if (machine?.state !== 'stopped' && machine?.state !== 'error') return null
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
        ? `The machine failed: ${machine.stateReason ?? 'no reason was given'}. Files and conversations are kept.`
        : 'The machine is stopped. You can read; to go on, start it.'}
    </Strip>
  )
}
