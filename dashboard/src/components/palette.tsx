// The command palette: every command and project, found by a few letters, run by Enter. The home
// page is this list itself; everywhere else it floats.
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useNavigate, useParams } from '@tanstack/react-router'
import { Command } from 'cmdk'
import { useRef, useState, type ReactNode } from 'react'
import { wordsOf } from '@/api/http'
import { server } from '@/api/server'
import { runCommand } from '@/hooks/commands'
import { queries } from '@/hooks/queries'
import { allCommands, useCommandStore } from '@/stores/commands'
import { usePalette } from '@/stores/palette'
import { Button } from '@/ui/button'
import { Icon } from '@/ui/icons'
import { Keys } from '@/ui/keys'
import { Failure, Skeleton } from '@/ui/state'
import { toast } from '@/ui/toasts'
import { paletteGroups, type PaletteGroup } from './palette-list'
import { CommandLine, CreateLine, ProjectLine } from './palette-rows'

const HEADING =
  '[&_[cmdk-group-heading]]:px-2.5 [&_[cmdk-group-heading]]:pt-2.5 [&_[cmdk-group-heading]]:pb-1 [&_[cmdk-group-heading]]:text-sm [&_[cmdk-group-heading]]:text-ink-3'
const CREATE = 'create'
/** Made so that it reaches models only. */
const CREATE_CLOSED = 'create-closed'

/** Goes to a project. */
function useOpenProject() {
  const navigate = useNavigate()
  const hide = usePalette((state) => state.hide)
  return (id: string) => {
    hide()
    return navigate({ to: '/projects/$id', params: { id } })
  }
}

/** Makes a new project under the name and goes there. */
function useCreateProject() {
  const client = useQueryClient()
  const open = useOpenProject()
  const [busy, setBusy] = useState(false)
  const create = async (name: string, of?: Parameters<typeof server.createProject>[1]) => {
    if (busy) return
    setBusy(true)
    try {
      const project = await server.createProject(name.trim(), of)
      client.setQueryData(queries.project(project.id).queryKey, project)
      void client.invalidateQueries({ queryKey: queries.projects.queryKey })
      await open(project.id)
    } catch (error) {
      toast.error('The project was not created', wordsOf(error))
    } finally {
      setBusy(false)
    }
  }
  return { create, busy }
}

/** Which line is chosen: the one that the person moved to, else `first`; null is none. The library
 * would choose the first line whenever the list changes: it is told otherwise. */
function useChoice(offered: readonly string[], first: string | null) {
  const [chosen, setChosen] = useState<string | null>(null)
  // It takes a value only when it differs from the last one, so "none" has many names.
  const [nones, setNones] = useState(0)
  const moving = useRef(false)
  const still = () => {
    moving.current = false
  }
  const line = chosen !== null && offered.includes(chosen) ? chosen : first
  return {
    line,
    reset: () => setChosen(null),
    root: {
      value: line ?? `none:${nones}`,
      onValueChange: (value: string) => {
        if (moving.current) setChosen(value)
        else if (line === null) setNones((n) => n + 1)
      },
      // The library moves within this same event; what is typed changes the list only after it.
      onKeyDown: () => {
        moving.current = true
        queueMicrotask(still)
      },
      onPointerMoveCapture: () => {
        moving.current = true
        setTimeout(still)
      },
    },
  }
}

export function Palette({ floating, empty }: { floating: boolean; empty?: ReactNode }) {
  const [search, setSearch] = useState('')
  const naming = usePalette((state) => state.asking === 'project.new')
  const sets = useCommandStore((state) => state.sets)
  const { create, busy } = useCreateProject()
  const { data: projects = [] } = useQuery(queries.projects)
  const { id: current = null } = useParams({ strict: false })
  const typed = search.trim()
  const images = useImages(typed !== '')
  const groups = naming
    ? []
    : paletteGroups({ typed, projects, commands: allCommands(sets), current })
  const listed = groups.flatMap((group) => group.entries.map((entry) => entry.value))
  // Away from home nobody makes a project by a word that fits nothing: it must be chosen.
  const aside = floating && !naming && listed.length === 0
  const creates = images.map((image) => `${CREATE}:${image.key}`)
  const choice = useChoice(
    [...listed, CREATE, ...(naming ? [CREATE_CLOSED] : []), ...creates],
    listed[0] ?? (typed && !aside ? CREATE : null),
  )

  return (
    <Command
      label="Commands and projects"
      loop
      shouldFilter={false}
      className="flex min-h-0 flex-col"
      {...choice.root}
    >
      <div className="flex h-12 shrink-0 items-center gap-2.5 border-b px-4">
        <Icon name={naming ? 'add' : 'search'} className="text-ink-3" />
        <Command.Input
          value={search}
          onValueChange={(text) => {
            setSearch(text)
            choice.reset()
          }}
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
        {!naming && !typed && <Missing empty={empty} />}
        <Lines groups={groups} />
        {naming && !typed && (
          <div className="px-2.5 py-3 text-ink-2">
            Each project gets a Linux machine and an agent of its own. Type a name, press Enter.
          </div>
        )}
        {typed && aside && (
          <div role="status" className="px-2.5 py-2 break-words text-ink-2">
            Nothing here is called “{typed}”.
          </div>
        )}
        {typed && (
          <CreateLine
            name={typed}
            busy={busy}
            value={CREATE}
            aside={aside && choice.line !== CREATE}
            onSelect={() => void create(typed)}
          />
        )}
        {typed && naming && (
          <CreateLine
            name={typed}
            note="reaches models only, until you allow more"
            busy={busy}
            value={CREATE_CLOSED}
            aside={false}
            onSelect={() => void create(typed, { egress: { level: 'none' } })}
          />
        )}
        {typed &&
          images.map((image) => (
            <CreateLine
              key={image.key}
              name={typed}
              image={image}
              busy={busy}
              value={`${CREATE}:${image.key}`}
              aside={false}
              onSelect={() => void create(typed, { image: image.key })}
            />
          ))}
      </Command.List>
    </Command>
  )
}

/** What a new project can be made from beside the default; none where there is only that. */
function useImages(wanted: boolean) {
  const { data = [] } = useQuery({ ...queries.images, enabled: wanted })
  return data.filter((image) => !image.default && image.state !== 'failed')
}

/** What stands in the place of projects that are not there: not yet, not at all, or not readable. */
function Missing({ empty }: { empty: ReactNode }) {
  const { data, error, isPending, refetch } = useQuery(queries.projects)
  if (isPending) return <Skeleton className="px-2.5 py-3" words="Reading the projects…" />
  if (data) return data.length === 0 ? empty : null
  return (
    <div className="p-1.5">
      <Failure
        compact
        title="The projects could not be read"
        message={wordsOf(error)}
        action={<Button onClick={() => void refetch()}>Try again</Button>}
      />
    </div>
  )
}

function Lines({ groups }: { groups: readonly PaletteGroup[] }) {
  const open = useOpenProject()
  return groups.map(({ heading, entries }) => (
    <Command.Group key={heading} {...(heading === null ? {} : { heading })} className={HEADING}>
      {entries.map((entry) =>
        entry.kind === 'project' ? (
          <ProjectLine
            key={entry.value}
            value={entry.value}
            project={entry.project}
            keys={entry.keys}
            onSelect={() => void open(entry.project.id)}
          />
        ) : (
          <CommandLine
            key={entry.value}
            value={entry.value}
            command={entry.command}
            onSelect={() => runCommand(entry.command)}
          />
        ),
      )}
    </Command.Group>
  ))
}
