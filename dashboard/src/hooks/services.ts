// The services of the open project: their rows, and what is observed of their processes.
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useMemo } from 'react'
import type { Service } from '@/api/bridge-types'
import { wordsOf } from '@/api/http'
import { toast } from '@/ui/toasts'
import { useProject } from './live'
import { useMachineState } from './machine'
import { queries } from './queries'

/** The rows come from the copy when the machine rests; their processes only from one that runs. */
export function useServices() {
  const { id } = useProject()
  const { running, alive } = useMachineState()
  const inspect = useQuery(queries.inspect(id))
  const observed = useQuery({ ...queries.services(id), enabled: running })
  const rows = inspect.data?.services
  const seen = alive ? observed.data : undefined
  const services = useMemo<Service[]>(() => {
    const process = new Map(seen?.map((each) => [each.id, each.process ?? null]))
    return (rows ?? []).map((row) => ({
      ...row,
      process: process.get(row.id) ?? row.process ?? null,
    }))
  }, [rows, seen])
  return { ...inspect, services }
}

const FAILED = { start: 'did not start', stop: 'was not stopped', restart: 'did not start again' }

export function useServiceAction() {
  const { id, live } = useProject()
  const client = useQueryClient()
  return useMutation({
    mutationFn: ({ service, verb }: { service: Service; verb: keyof typeof FAILED }) =>
      live.bridge.service(service.id, verb),
    onError: (error, { service, verb }) =>
      toast.error(`${service.name} ${FAILED[verb]}`, wordsOf(error)),
    onSettled: () => {
      void client.invalidateQueries({ queryKey: queries.services(id).queryKey })
      void client.invalidateQueries({ queryKey: queries.inspect(id).queryKey })
      // A machine that rested was woken by it.
      void client.invalidateQueries({ queryKey: queries.machine(id).queryKey })
    },
  })
}
