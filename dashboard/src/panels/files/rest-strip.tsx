// Says that the machine rests and that what is seen is its disk; nothing while it runs.
import { useProject } from '@/hooks/live'
import { useMachineActions, useMachineState } from '@/hooks/machine'
import type { MachineState } from '@/api/types'
import { Button } from '@/ui/button'
import { Strip } from '@/ui/state'

const WORDS: Partial<Record<MachineState, string>> = {
  frozen: 'The machine is frozen: this is its disk. Reading leaves it so; a change thaws it.',
  cold: 'The machine sleeps: this is its disk. Reading leaves it so; a change wakes it.',
  stopped: 'The machine is stopped: this is its disk. Files can be changed when it runs.',
  error: 'The machine does not start: this is its disk. Files can be read and downloaded.',
}

export function RestStrip() {
  const { id } = useProject()
  const { machine } = useMachineState()
  const { thaw, wake, start } = useMachineActions(id)
  const words = machine && WORDS[machine.state]
  if (!words) return null
  const [verb, action] =
    machine.state === 'frozen'
      ? (['Thaw', thaw] as const)
      : machine.state === 'cold'
        ? (['Wake', wake] as const)
        : (['Start', start] as const)
  return (
    <Strip
      action={
        <Button disabled={action.isPending} onClick={() => action.mutate()}>
          {verb}
        </Button>
      }
    >
      {words}
    </Strip>
  )
}
