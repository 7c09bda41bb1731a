// The lines of the palette: a project, a command, a project that could be made.
import { Command } from 'cmdk'
import type { Image } from '@/api/machine-types'
import type { Project } from '@/api/types'
import type { Command as Entry } from '@/stores/commands'
import { Icon } from '@/ui/icons'
import { Keys } from '@/ui/keys'
import { Ago } from '@/ui/time'
import { LookGlyph, projectLook, restBadge } from './project-state'

const ITEM =
  'flex h-9 items-center gap-2.5 rounded-md px-2.5 select-none data-[selected=true]:bg-hover data-[disabled=true]:opacity-45 max-md:h-11'

interface Line {
  value: string
  onSelect: () => void
}

export function ProjectLine({
  project,
  keys,
  ...line
}: Line & { project: Project; keys: string | null }) {
  const look = projectLook(project)
  const badge = restBadge(project)
  return (
    <Command.Item {...line} className={ITEM}>
      <span className="flex w-4 shrink-0 justify-center">
        <LookGlyph look={look} />
      </span>
      <span className="truncate">{project.name}</span>
      <span className="shrink-0 text-sm text-ink-3">{look.word}</span>
      {badge && (
        <span className="flex shrink-0 items-center gap-1 text-sm text-ink-3">
          <LookGlyph look={badge} />
          {badge.word}
        </span>
      )}
      <span className="ml-auto flex items-center text-sm text-ink-3">
        <Ago at={Date.parse(project.updatedAt)} />
        {keys && <Keys chord={keys} />}
      </span>
    </Command.Item>
  )
}

export function CommandLine({ command, ...line }: Line & { command: Entry }) {
  const note = command.disabled ?? command.note
  return (
    <Command.Item {...line} disabled={Boolean(command.disabled)} className={ITEM}>
      <Icon name={command.icon ?? 'chevron'} className="text-ink-3" />
      <span className="truncate">{command.title}</span>
      {note && <span className="truncate text-sm text-ink-3">{note}</span>}
      {command.keys?.[0] && <Keys chord={command.keys[0]} />}
    </Command.Item>
  )
}

/** Makes a project under the typed name. `aside`: it is not what Enter does, so it says how. */
export function CreateLine({
  name,
  busy,
  aside,
  image,
  note,
  ...line
}: Line & { name: string; busy: boolean; aside: boolean; image?: Image; note?: string }) {
  const making = image?.state === 'making'
  return (
    <Command.Item {...line} disabled={busy || making} className={ITEM}>
      <Icon name="add" className="text-moss-text" />
      <span className="truncate">
        {busy ? 'Creating' : 'Create project'} <b className="font-semibold">{name}</b>
        {image && ` from ${image.name}`}
      </span>
      {making && <span className="text-sm text-ink-3">still being made</span>}
      {note && <span className="truncate text-sm text-ink-3">{note}</span>}
      {aside && <Keys chord="arrowdown+enter" />}
    </Command.Item>
  )
}
