// What can be done in a project, by name and key. What can be done to its machine is beside it.
import { useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useMemo } from 'react'
import { wordsOf } from '@/api/http'
import { server } from '@/api/server'
import type { Project } from '@/api/types'
import { toast } from '@/ui/toasts'
import { useCommands } from '@/hooks/commands'
import type { OpenPanel } from '@/hooks/dock'
import { queries } from '@/hooks/queries'
import type { Command } from '@/stores/commands'

export function useProjectCommands(
  project: Project,
  open: OpenPanel,
  toggleSidebar: () => void,
): void {
  const { id, name } = project
  const navigate = useNavigate()
  const client = useQueryClient()

  const commands = useMemo<Command[]>(() => {
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
        id: 'panel.runs',
        title: 'Open runs',
        group: 'Panels',
        icon: 'flag',
        keys: ['alt+r'],
        words: 'jobs queue background unattended plan approve cancel workspace download',
        run: () => open({ kind: 'runs' }),
      },
      {
        id: 'run.new',
        title: 'New run…',
        group: 'Actions',
        icon: 'add',
        words: 'start job queue background unattended',
        run: () => open({ kind: 'runs', fresh: true }),
      },
      {
        id: 'panel.services',
        title: 'Open services',
        group: 'Panels',
        icon: 'list',
        keys: ['alt+s'],
        words: 'processes servers workers supervised start stop',
        run: () => open({ kind: 'services' }),
      },
      {
        id: 'panel.schedules',
        title: 'Open schedules',
        group: 'Panels',
        icon: 'calendar',
        keys: ['alt+j'],
        words: 'cron timer jobs clock',
        run: () => open({ kind: 'schedules' }),
      },
      {
        id: 'panel.agent',
        title: 'Open the agent’s settings',
        group: 'Panels',
        icon: 'sliders',
        keys: ['alt+g'],
        words:
          'permissions rules allow deny ask limits check skills tools mcp servers extensions hooks',
        run: () => open({ kind: 'agent' }),
      },
      {
        id: 'panel.cost',
        title: 'Open cost',
        group: 'Panels',
        icon: 'coins',
        keys: ['alt+u'],
        words: 'usage tokens money spend price',
        run: () => open({ kind: 'cost' }),
      },
      {
        id: 'panel.secrets',
        title: 'Open secrets',
        group: 'Panels',
        icon: 'key',
        keys: ['alt+v'],
        words: 'environment variables keys passwords tokens credentials',
        run: () => open({ kind: 'secrets' }),
      },
      {
        id: 'panel.network',
        title: 'Open the network',
        group: 'Panels',
        icon: 'globe',
        keys: ['alt+e'],
        words: 'egress internet firewall allow list blocked hosts connections log',
        run: () => open({ kind: 'network' }),
      },
      {
        id: 'sidebar.toggle',
        title: 'Show or hide the sidebar',
        group: 'Panels',
        icon: 'side',
        keys: ['mod+b'],
        run: toggleSidebar,
      },
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
  }, [id, name, open, toggleSidebar, client, navigate])
  useCommands(commands)
}
