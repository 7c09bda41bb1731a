// The command palette: every command and project, found by a few letters, run by Enter. The home
// page is this list itself; everywhere else it floats.
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { Command } from 'cmdk'
import { useState, type ReactNode } from 'react'
import { wordsOf } from '@/api/http'
import { server } from '@/api/server'
import { runCommand } from '@/hooks/commands'
import { queries } from '@/hooks/queries'
import { allCommands, useCommandStore, type Command as Entry } from '@/stores/commands'
import { usePalette } from '@/stores/palette'
import { Icon } from '@/ui/icons'
import { Keys } from '@/ui/keys'
import { toast } from './toasts'
import { ProjectItems, projectValue } from './palette-projects'

const ITEM =
  'flex h-9 items-center gap-2.5 rounded-md px-2.5 select-none data-[selected=true]:bg-hover data-[disabled=true]:opacity-45 max-md:h-11'
const HEADING =
  '[&_[cmdk-group-heading]]:px-2.5 [&_[cmdk-group-heading]]:pt-2.5 [&_[cmdk-group-heading]]:pb-1 [&_[cmdk-group-heading]]:text-sm [&_[cmdk-group-heading]]:text-ink-3'

const GROUPS = ['Chat', 'Panels', 'Machine', 'Actions', 'Appearance'] as const

/** Opens a new project under the name and goes there. */
function useCreateProject() {
  const navigate = useNavigate()
  const client = useQueryClient()
  const hide = usePalette((state) => state.hide)
  const [busy, setBusy] = useState(false)
  const create = async (name: string) => {
    if (busy) return
    setBusy(true)
    try {
      const project = await server.createProject(name.trim())
      client.setQueryData(queries.project(project.id).queryKey, project)
      void client.invalidateQueries({ queryKey: queries.projects.queryKey })
      hide()
      await navigate({ to: '/projects/$id', params: { id: project.id } })
    } catch (error) {
      toast.error('The project was not created', wordsOf(error))
    } finally {
      setBusy(false)
    }
  }
  return { create, busy }
}

export function Palette({ floating, empty }: { floating: boolean; empty?: ReactNode }) {
  const [search, setSearch] = useState('')
  const naming = usePalette((state) => state.asking === 'project.new')
  const sets = useCommandStore((state) => state.sets)
  const { create, busy } = useCreateProject()
  const commands = allCommands(sets)
  const typed = search.trim()

  // Projects come a moment after the page: the first of them is what Enter opens, unless the person
  // moved already.
  const { data: projects } = useQuery(queries.projects)
  const first = projects?.[0]
  const [value, setValue] = useState('')
  const [moved, setMoved] = useState(false)
  const shown = !moved && !typed && first ? projectValue(first) : value

  return (
    <Command
      label="Commands and projects"
      loop
      value={shown}
      onValueChange={setValue}
      onKeyDown={() => setMoved(true)}
      className="flex min-h-0 flex-col"
      // Nothing may be searched for while a name is typed: only creating is offered.
      shouldFilter={!naming}
    >
      <div className="flex h-12 shrink-0 items-center gap-2.5 border-b px-4">
        <Icon name={naming ? 'add' : 'search'} className="text-ink-3" />
        <Command.Input
          value={search}
          onValueChange={setSearch}
          // The palette is opened to type in it.
          // oxlint-disable-next-line jsx-a11y/no-autofocus
          autoFocus
          placeholder={naming ? 'Name of the new project' : 'Open, run, or name a new project'}
          className="h-full min-w-0 grow bg-transparent text-md outline-none"
        />
        {floating && <Keys chord="Escape" />}
      </div>
      <Command.List
        className={`min-h-0 overflow-y-auto overscroll-contain p-1.5 ${floating ? 'max-h-[min(56vh,480px)]' : ''}`}
      >
        {!naming && (
          <>
            <ProjectItems item={ITEM} heading={HEADING} typed={typed} empty={empty} />
            {GROUPS.map((group) => (
              <CommandGroup
                key={group}
                group={group}
                commands={commands.filter((command) => command.group === group && !command.hidden)}
              />
            ))}
          </>
        )}
        {naming && !typed && (
          <div className="px-2.5 py-3 text-ink-2">
            Each project gets a Linux machine and an agent of its own. Type a name, press Enter.
          </div>
        )}
        {typed && (
          <Command.Item
            value={`create project ${typed}`}
            forceMount
            disabled={busy}
            onSelect={() => void create(typed)}
            className={ITEM}
          >
            <Icon name="add" className="text-moss-text" />
            <span className="truncate">
              {busy ? 'Creating' : 'Create project'} <b className="font-semibold">{typed}</b>
            </span>
          </Command.Item>
        )}
      </Command.List>
    </Command>
  )
}

function CommandGroup({ group, commands }: { group: string; commands: Entry[] }) {
  if (commands.length === 0) return null
  return (
    <Command.Group heading={group} className={HEADING}>
      {commands.map((command) => (
        <Command.Item
          key={command.id}
          value={`${command.title} ${command.id}`}
          keywords={command.words ? [command.words] : []}
          disabled={Boolean(command.disabled)}
          onSelect={() => runCommand(command)}
          className={ITEM}
        >
          <Icon name={command.icon ?? 'chevron'} className="text-ink-3" />
          <span className="truncate">{command.title}</span>
          {(command.disabled ?? command.note) && (
            <span className="truncate text-sm text-ink-3">{command.disabled ?? command.note}</span>
          )}
          {command.keys?.[0] && <Keys chord={command.keys[0]} />}
        </Command.Item>
      ))}
    </Command.Group>
  )
}
