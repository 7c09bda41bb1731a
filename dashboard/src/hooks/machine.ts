// The machine of a project: how it stands; starting, waking, freezing and stopping it.
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useCallback, useState } from 'react'
import { wordsOf } from '@/api/http'
import { machineOf } from '@/api/machine'
import { server } from '@/api/server'
import type { Machine } from '@/api/types'
import { queries } from '@/hooks/queries'
import { toast } from '@/ui/toasts'
import { useProject } from './live'

/** How the machine of the open project stands, as far as it is known. `running`: it answers at once.
 * `alive`: its processes exist, be it frozen. `closed`: only a person brings it back. None of them: it
 * is cold and wakes by itself. */
export function useMachineState() {
  const { id } = useProject()
  const { data: machine, isPending } = useQuery(queries.machine(id))
  const state = machine?.state
  return {
    machine,
    isPending,
    running: state === 'running',
    alive: state === 'running' || state === 'frozen',
    closed: state === 'stopped' || state === 'error',
  }
}

/** Whether a panel may ask something of the machine: it runs, or a person said so since it last went
 * cold. Never because a layout was put back or a tab was looked at. */
export function useMayAsk() {
  const state = useMachineState()
  const { alive, running } = state
  const [wanted, setWanted] = useState(false)
  const [was, setWas] = useState(alive)
  if (was !== alive) {
    setWas(alive)
    if (!alive) setWanted(false)
  }
  return { ...state, may: running || wanted, want: () => setWanted(true) }
}

/** Asks whether the machine runs just now, which wakes nothing. */
export function useRunsNow(): () => Promise<boolean> {
  const { id } = useProject()
  return useCallback(async () => (await server.machine(id)).state === 'running', [id])
}

/** One thing that is done to the machine; afterwards the page knows how it stands. */
function useMachineAction(id: string, ask: () => Promise<Machine>, failed: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: ask,
    onSuccess: (machine: Machine) => {
      client.setQueryData(queries.machine(id).queryKey, machine)
      void client.invalidateQueries({ queryKey: queries.projects.queryKey })
      void client.invalidateQueries({ queryKey: queries.state(id).queryKey })
    },
    onError: (error) => toast.error(failed, wordsOf(error)),
  })
}

/** All that a person may do to it as a whole. */
export function useMachineActions(id: string) {
  const machine = machineOf(id)
  return {
    start: useMachineAction(id, () => server.start(id), 'The machine did not start'),
    stop: useMachineAction(id, () => server.stop(id), 'The machine was not stopped'),
    wake: useMachineAction(id, () => server.wake(id), 'The machine did not wake'),
    freeze: useMachineAction(id, machine.freeze, 'The machine was not frozen'),
    thaw: useMachineAction(id, machine.thaw, 'The machine was not thawed'),
    sleep: useMachineAction(id, machine.sleep, 'The machine was not put to sleep'),
  }
}
