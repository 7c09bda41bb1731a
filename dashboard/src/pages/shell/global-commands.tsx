// What can be done from anywhere.
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useLocation, useNavigate } from '@tanstack/react-router'
import { useEffect, useMemo } from 'react'
import { wordsOf } from '@/api/http'
import { server } from '@/api/server'
import { toast } from '@/ui/toasts'
import { useCommands } from '@/hooks/commands'
import { queries } from '@/hooks/queries'
import type { Command } from '@/stores/commands'
import { usePalette } from '@/stores/palette'
import { adoptTheme, useTheme, type Theme } from '@/stores/theme'

const THEMES: readonly { theme: Theme; title: string; words: string }[] = [
  { theme: 'system', title: 'Theme: as the system', words: 'appearance auto' },
  { theme: 'light', title: 'Theme: light', words: 'appearance day' },
  { theme: 'dark', title: 'Theme: dark', words: 'appearance night' },
]

export function GlobalCommands() {
  const navigate = useNavigate()
  const atHome = useLocation({ select: (location) => location.pathname === '/' })
  const client = useQueryClient()
  const { theme, setTheme } = useTheme()
  const { data: projects } = useQuery(queries.projects)
  const { data: settings } = useQuery(queries.settings)
  const first = useMemo(() => (projects ?? []).slice(0, 3), [projects])

  useEffect(() => adoptTheme(settings?.theme ?? null), [settings])

  const commands = useMemo<Command[]>(
    () => [
      {
        id: 'palette.toggle',
        title: 'Commands',
        group: 'Actions',
        icon: 'search',
        keys: ['mod+k', 'mod+shift+p'],
        words: 'search palette',
        hidden: true,
        run: () => {
          const home = document.querySelector<HTMLInputElement>('[data-home] input')
          if (home && !usePalette.getState().open) home.focus()
          else usePalette.getState().toggle()
        },
      },
      {
        id: 'project.new',
        title: 'New project…',
        group: 'Actions',
        icon: 'add',
        keys: ['alt+n', 'mod+n'],
        words: 'create machine',
        run: () => usePalette.getState().ask('project.new'),
      },
      {
        id: 'home.open',
        title: 'All projects',
        group: 'Actions',
        icon: 'list',
        words: 'home start',
        hidden: atHome,
        run: () => void navigate({ to: '/' }),
      },
      {
        id: 'settings.open',
        title: 'Settings',
        group: 'Actions',
        icon: 'gear',
        keys: ['alt+,', 'mod+,'],
        words: 'providers keys models profile host',
        run: () => void navigate({ to: '/settings' }),
      },
      {
        id: 'auth.signOut',
        title: 'Sign out',
        group: 'Actions',
        icon: 'user',
        words: 'log out leave',
        run: () => {
          server.signOut().then(
            () => {
              client.clear()
              location.assign('/')
            },
            (error: unknown) => toast.error('You are still signed in', wordsOf(error)),
          )
        },
      },
      ...THEMES.map<Command>(({ theme: each, title, words }) => ({
        id: `theme.${each}`,
        title,
        words,
        group: 'Appearance',
        icon: 'sun',
        ...(each === theme ? { note: 'in use' } : {}),
        run: () => {
          setTheme(each)
          void server.updateSettings({ theme: each }).catch(() => {
            // This browser keeps it; other ones ask again.
          })
        },
      })),
    ],
    [navigate, client, theme, setTheme, atHome],
  )
  useCommands(commands)

  // The projects themselves stand in the palette already; these are their shortcuts.
  const switches = useMemo<Command[]>(
    () =>
      first.map((project, index) => ({
        id: `project.switch.${index + 1}`,
        title: project.name,
        group: 'Projects',
        keys: [`alt+${index + 1}`, `mod+${index + 1}`],
        run: () => void navigate({ to: '/projects/$id', params: { id: project.id } }),
      })),
    [first, navigate],
  )
  useCommands(switches)
  return null
}
