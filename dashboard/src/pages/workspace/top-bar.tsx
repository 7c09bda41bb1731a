// The line above a project: which one, how its machine is, what may be done about it.
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { wordsOf } from '@/api/http'
import { server } from '@/api/server'
import type { Machine, Project } from '@/api/types'
import { CommandsButton } from '@/components/commands-button'
import { HomeLink } from '@/components/home-link'
import { machineLook } from '@/components/project-state'
import { toast } from '@/ui/toasts'
import { runById } from '@/hooks/commands'
import { useConnection, useProject } from '@/hooks/live'
import { useMachineActions } from '@/hooks/machine'
import { queries } from '@/hooks/queries'
import { Button, IconButton } from '@/ui/button'
import { Menu } from '@/ui/menu'
import { useAfter } from '@/ui/state'
import { Hint } from '@/ui/tooltip'
import { MachinePopover } from './machine-popover'

/** A short break of the stream is nobody's business. */
const PILL_AFTER_MS = 3000

export function TopBar({
  project,
  machine,
  onSidebar,
}: {
  project: Project
  machine: Machine | undefined
  onSidebar: () => void
}) {
  const { live } = useProject()
  const connection = useConnection(live)
  const { start } = useMachineActions(project.id)
  const { data: me } = useQuery(queries.me)
  const state = machine?.state ?? project.state
  const startable = state === 'stopped' || state === 'error'

  return (
    <header className="flex h-10 shrink-0 items-center gap-1 border-b px-2 max-md:h-12">
      <HomeLink />
      <IconButton icon="side" label="Sidebar" keys="mod+b" onClick={onSidebar} />
      <ProjectName project={project} />
      <MachinePopover project={project} machine={machine} look={machineLook(state)} />
      {connection !== 'live' && <Pill />}
      <div className="grow" />
      {startable && (
        <Button
          variant="primary"
          disabled={start.isPending}
          onClick={() => start.mutate()}
          className="max-md:hidden"
        >
          {start.isPending ? 'Starting…' : 'Start'}
        </Button>
      )}
      <CommandsButton />
      <Menu
        align="end"
        items={[
          { label: 'Settings', icon: 'gear', onSelect: () => runById('settings.open') },
          { label: 'All projects', icon: 'list', onSelect: () => runById('home.open') },
          null,
          { label: 'Sign out', icon: 'user', onSelect: () => runById('auth.signOut') },
        ]}
      >
        <button
          type="button"
          aria-label="You"
          className="ml-1 flex size-7 items-center justify-center rounded-full bg-sunk text-sm font-medium text-ink-2 hover:bg-press max-md:size-9"
        >
          {(me?.user.name ?? me?.user.email ?? '?').slice(0, 1).toUpperCase()}
        </button>
      </Menu>
    </header>
  )
}

function Pill() {
  const long = useAfter(PILL_AFTER_MS)
  if (!long) return null
  return (
    <span
      role="status"
      className="appear ml-1 flex h-6 items-center rounded-full bg-amber-soft px-2.5 text-sm text-amber-text"
    >
      <span className="max-md:hidden">Not connected. The work goes on; trying again…</span>
      <span className="md:hidden">Not connected</span>
    </span>
  )
}

/** The name; a click makes it a field. */
function ProjectName({ project }: { project: Project }) {
  const client = useQueryClient()
  const [draft, setDraft] = useState<string | null>(null)

  const save = async () => {
    const name = draft?.trim()
    setDraft(null)
    if (!name || name === project.name) return
    try {
      const changed = await server.renameProject(project.id, name)
      client.setQueryData(queries.project(project.id).queryKey, changed)
      void client.invalidateQueries({ queryKey: queries.projects.queryKey })
    } catch (error) {
      toast.error('The name was not changed', wordsOf(error))
    }
  }

  if (draft === null) {
    return (
      <h1 className="max-w-64 min-w-0 max-md:max-w-32">
        <Hint text="Rename">
          <button
            type="button"
            onClick={() => setDraft(project.name)}
            className="block h-7 max-w-full truncate rounded-md px-1.5 font-semibold hover:bg-hover"
          >
            {project.name}
          </button>
        </Hint>
      </h1>
    )
  }
  return (
    <input
      aria-label="Name of the project"
      // The person clicked the name to change it.
      // oxlint-disable-next-line jsx-a11y/no-autofocus
      autoFocus
      value={draft}
      onFocus={(event) => event.target.select()}
      onChange={(event) => setDraft(event.target.value)}
      onBlur={() => void save()}
      onKeyDown={(event) => {
        if (event.key === 'Enter') event.currentTarget.blur()
        if (event.key === 'Escape') setDraft(null)
      }}
      className="h-7 w-56 rounded-md border border-moss bg-surface px-1.5 font-semibold"
    />
  )
}
