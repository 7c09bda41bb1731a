// The machine of a project: how it stands; starting, waking and stopping it.
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useMemo } from 'react'
import { wordsOf } from '@/api/http'
import { server } from '@/api/server'
import type { Machine } from '@/api/types'
import { queries } from '@/hooks/queries'
import { toast } from '@/ui/toasts'
import { useProject } from './live'

/** How the machine of the open project stands, as far as it is known. `up`: its processes exist.
 * `closed`: only a person brings it back. Neither: it sleeps and wakes by itself. */
export function useMachineState() {
  const { id } = useProject()
  const { data: machine, isPending } = useQuery(queries.machine(id))
  const state = machine?.state
  return {
    machine,
    isPending,
    up: state === 'running' || state === 'frozen',
    closed: state === 'stopped' || state === 'error',
  }
}

export function useMachineActions(id: string) {
  const client = useQueryClient()
  const settle = useMemo(
    () => ({
      onSuccess: (machine: Machine) => {
        client.setQueryData(queries.machine(id).queryKey, machine)
        void client.invalidateQueries({ queryKey: queries.projects.queryKey })
        void client.invalidateQueries({ queryKey: queries.state(id).queryKey })
      },
    }),
    [client, id],
  )
  const start = useMutation({
    mutationFn: () => server.start(id),
    ...settle,
    onError: (error) => toast.error('The machine did not start', wordsOf(error)),
  })
  const stop = useMutation({
    mutationFn: () => server.stop(id),
    ...settle,
    onError: (error) => toast.error('The machine was not stopped', wordsOf(error)),
  })
  const wake = useMutation({
    mutationFn: () => server.wake(id),
    ...settle,
    onError: (error) => toast.error('The machine did not wake', wordsOf(error)),
  })
  return { start, stop, wake }
}
