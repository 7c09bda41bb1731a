// What a panel that needs the machine shows while there is none: stopped by a person, or asleep.
import type { ReactNode } from 'react'
import { useProject } from '@/hooks/live'
import { useMachineActions, useMachineState } from '@/hooks/machine'
import { Button } from '@/ui/button'
import { Empty } from '@/ui/state'

export function MachineStopped({ children }: { children: ReactNode }) {
  const { id } = useProject()
  const { start } = useMachineActions(id)
  return (
    <Empty
      title="The machine is stopped"
      action={
        <Button variant="primary" disabled={start.isPending} onClick={() => start.mutate()}>
          {start.isPending ? 'Starting…' : 'Start'}
        </Button>
      }
    >
      {children}
    </Empty>
  )
}

/** A machine that rests is woken by a person, not by a layout that was put back. */
export function MachineAsleep({ onWake, children }: { onWake: () => void; children: ReactNode }) {
  const { alive } = useMachineState()
  return (
    <Empty
      title={alive ? 'The machine is frozen' : 'The machine sleeps'}
      action={
        <Button variant="primary" onClick={onWake}>
          {alive ? 'Thaw and open' : 'Wake and open'}
        </Button>
      }
    >
      {children}
    </Empty>
  )
}
