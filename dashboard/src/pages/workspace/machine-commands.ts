// What can be done to a project's machine and its copies, by name and key. What its backend cannot is
// not there.
import { useMemo } from 'react'
import type { Machine, MachineState, Project } from '@/api/types'
import { useCheckpointActions } from '@/hooks/checkpoints'
import { useCommands } from '@/hooks/commands'
import type { OpenPanel } from '@/hooks/dock'
import { useMachineActions } from '@/hooks/machine'
import { useAsking } from '@/stores/asking'
import type { Command } from '@/stores/commands'

export function useMachineCommands(
  { id, name }: Project,
  state: MachineState,
  machine: Machine | undefined,
  open: OpenPanel,
): void {
  const { start, stop, wake, freeze, thaw, sleep } = useMachineActions(id)
  const { keep } = useCheckpointActions(id)
  const ask = useAsking((store) => store.ask)
  const { mutate: keepNow } = keep
  const { mutate: startNow } = start
  const { mutate: stopNow } = stop
  const { mutate: wakeNow } = wake
  const { mutate: freezeNow } = freeze
  const { mutate: thawNow } = thaw
  const { mutate: sleepNow } = sleep
  const canKeep = machine?.can.checkpoint ?? false
  const canFork = machine?.can.fork ?? false
  const canFreeze = machine?.can.freeze ?? false

  const commands = useMemo<Command[]>(() => {
    const alive = state === 'running' || state === 'frozen'
    const machineCommand = (when: boolean, command: Omit<Command, 'group'>): Command[] =>
      when ? [{ ...command, group: 'Machine' }] : []
    return [
      ...machineCommand(canKeep, {
        id: 'checkpoint.now',
        title: 'Checkpoint now',
        icon: 'pin',
        words: 'keep save snapshot backup',
        run: () => keepNow(''),
      }),
      {
        id: 'panel.checkpoints',
        title: 'Open checkpoints',
        group: 'Panels',
        icon: 'pin',
        keys: ['alt+k'],
        words: 'history restore undo go back timeline snapshots',
        run: () => open({ kind: 'checkpoints' }),
      },
      {
        id: 'panel.machine',
        title: 'Open the machine',
        group: 'Panels',
        icon: 'machine',
        keys: ['alt+i'],
        words: 'limits memory disk idle wakes state host',
        run: () => open({ kind: 'machine' }),
      },
      ...machineCommand(canFork, {
        id: 'project.fork',
        title: `Fork ${name}…`,
        icon: 'fork',
        words: 'copy clone branch duplicate',
        run: () => ask({ kind: 'fork' }),
      }),
      ...machineCommand(state === 'running' && canFreeze, {
        id: 'machine.freeze',
        title: 'Freeze the machine',
        icon: 'pause',
        words: 'pause',
        run: () => freezeNow(),
      }),
      ...machineCommand(state === 'frozen', {
        id: 'machine.thaw',
        title: 'Thaw the machine',
        icon: 'play',
        words: 'resume unfreeze go on',
        run: () => thawNow(),
      }),
      ...machineCommand(alive, {
        id: 'machine.sleep',
        title: 'Put the machine to sleep',
        icon: 'moon',
        words: 'cold rest',
        run: () => sleepNow(),
      }),
      ...machineCommand(state === 'cold', {
        id: 'machine.wake',
        title: 'Wake the machine',
        icon: 'sun',
        run: () => wakeNow(),
      }),
      ...machineCommand(alive || state === 'cold', {
        id: 'machine.stop',
        title: 'Stop the machine',
        icon: 'stop',
        words: 'shut down',
        touches: `All processes of ${name} end: the agent, its services, terminals. Files, conversations and the database stay. Only a person starts it again.`,
        verb: 'Stop',
        run: () => stopNow(),
      }),
      ...machineCommand(!alive && state !== 'cold', {
        id: 'machine.start',
        title: 'Start the machine',
        icon: 'power',
        run: () => startNow(),
      }),
    ]
  }, [
    name,
    state,
    canKeep,
    canFork,
    canFreeze,
    open,
    ask,
    keepNow,
    startNow,
    stopNow,
    wakeNow,
    freezeNow,
    thawNow,
    sleepNow,
  ])
  useCommands(commands)
}
