// Starting, waking and stopping the machine of a project.
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useMemo } from 'react'
import { wordsOf } from '@/api/http'
import { server } from '@/api/server'
import type { Machine } from '@/api/types'
import { queries } from '@/hooks/queries'
import { toast } from '@/components/toasts'

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
