// What can be done in a project, by name and key.
import { useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useMemo } from 'react'
import { wordsOf } from '@/api/http'
import { server } from '@/api/server'
import type { MachineState, Project } from '@/api/types'
import { toast } from '@/ui/toasts'
import { useCommands } from '@/hooks/commands'
import type { OpenPanel } from '@/hooks/dock'
import { useMachineActions } from '@/hooks/machine'
import { queries } from '@/hooks/queries'
import type { Command } from '@/stores/commands'

export function useProjectCommands(
  project: Project,
  state: MachineState,
  open: OpenPanel,
  toggleSidebar: () => void,
): void {
  const { id, name } = project
  const navigate = useNavigate()
  const client = useQueryClient()
  const { start, stop, wake } = useMachineActions(id)
  const { mutate: startMachine } = start
  const { mutate: stopMachine } = stop
  const { mutate: wakeMachine } = wake

  const commands = useMemo<Command[]>(() => {
    const running = state === 'running' || state === 'frozen' || state === 'cold'
    return [
      {
        id: 'chat.new',
        title: 'New chat',
        group: 'Panels',
        icon: 'chat',
        keys: ['alt+c'],
        words: 'session conversation agent',
        run: () => open({ kind: 'chat', fresh: true }, 'new'),
      },
      {
        id: 'panel.app',
        title: 'Open the app',
        group: 'Panels',
        icon: 'app',
        keys: ['alt+a'],
        words: 'preview browser iframe web',
        run: () => open({ kind: 'app' }),
      },
      {
        id: 'panel.terminal',
        title: 'New terminal',
        group: 'Panels',
        icon: 'terminal',
        keys: ['alt+t'],
        words: 'shell bash console',
        run: () => open({ kind: 'terminal' }, 'new'),
      },
      {
        id: 'panel.files',
        title: 'Open files',
        group: 'Panels',
        icon: 'folder',
        keys: ['alt+f'],
        words: 'tree browse documents',
        run: () => open({ kind: 'files' }),
      },
      {
        id: 'panel.log',
        title: 'Open the log',
        group: 'Panels',
        icon: 'log',
        keys: ['alt+l'],
        words: 'events processes background output',
        run: () => open({ kind: 'log' }),
      },
      {
        id: 'sidebar.toggle',
        title: 'Show or hide the sidebar',
        group: 'Panels',
        icon: 'side',
        keys: ['mod+b'],
        run: toggleSidebar,
      },
      ...(state === 'cold'
        ? [
            {
              id: 'machine.wake',
              title: 'Wake the machine',
              group: 'Machine' as const,
              icon: 'sun' as const,
              run: () => wakeMachine(),
            },
          ]
        : []),
      ...(running
        ? [
            {
              id: 'machine.stop',
              title: 'Stop the machine',
              group: 'Machine' as const,
              icon: 'close' as const,
              words: 'shut down',
              touches: `All processes of ${name} end: the agent, its services, terminals. Files, conversations and the database stay. Only a person starts it again.`,
              verb: 'Stop',
              run: () => stopMachine(),
            },
          ]
        : [
            {
              id: 'machine.start',
              title: 'Start the machine',
              group: 'Machine' as const,
              icon: 'sun' as const,
              run: () => startMachine(),
            },
          ]),
      {
        id: 'project.delete',
        title: `Delete project ${name}`,
        group: 'Machine',
        icon: 'trash',
        words: 'remove destroy',
        touches: `The machine of ${name}, its files, conversations and database are deleted for good.`,
        verb: 'Delete',
        run: () => {
          server.deleteProject(id).then(
            () => {
              void client.invalidateQueries({ queryKey: queries.projects.queryKey })
              void navigate({ to: '/' })
              toast.success(`${name} was deleted`)
            },
            (error: unknown) => toast.error('The project was not deleted', wordsOf(error)),
          )
        },
      },
    ]
  }, [
    id,
    name,
    state,
    open,
    toggleSidebar,
    startMachine,
    stopMachine,
    wakeMachine,
    client,
    navigate,
  ])
  useCommands(commands)
}
