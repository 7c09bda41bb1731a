// What people set for the agent of a project.
import { useMutation, useQueryClient } from '@tanstack/react-query'
import type { ConfigChange } from '@/api/bridge'
import { useProject } from './live'
import { queries } from './queries'

export function useAgentConfig() {
  const { id, live } = useProject()
  const client = useQueryClient()
  return useMutation({
    mutationFn: (change: Pick<ConfigChange, 'rules' | 'limits' | 'autoCheck' | 'checkCommand'>) =>
      live.bridge.config(change),
    onSuccess: (state) => {
      client.setQueryData(queries.state(id).queryKey, state)
      // A machine that slept was woken by it.
      void client.invalidateQueries({ queryKey: queries.machine(id).queryKey })
    },
  })
}
