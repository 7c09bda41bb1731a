// What the palette lists and in which order. Pure: the first entry is what Enter does.
import type { Project } from '@/api/types'
import type { Command } from '@/stores/commands'
import { rank } from '@/util/rank'
import { projectLook } from './project-state'

type PaletteEntry =
  | { kind: 'project'; value: string; project: Project; keys: string | null }
  | { kind: 'command'; value: string; command: Command }

export interface PaletteGroup {
  heading: string | null
  entries: PaletteEntry[]
}

const GROUPS = ['Chat', 'Panels', 'Machine', 'Actions', 'Appearance'] as const

/** The first projects have a shortcut each. */
const WITH_KEYS = 3
/** Inside a project the others stand above its commands: only as many as leave those in sight. */
const OTHERS_MAX = 5
/** What asks first because it destroys comes after what fits as well. */
const DESTROYS = 0.6
const DISABLED = 0.4

/** `current`: the project that is open; nobody goes to where they are. */
export function paletteGroups({
  typed,
  projects,
  commands,
  current,
}: {
  typed: string
  projects: readonly Project[]
  commands: readonly Command[]
  current: string | null
}): PaletteGroup[] {
  const others: PaletteEntry[] = projects
    .map((project, index) => ({
      kind: 'project' as const,
      value: `project:${project.id}`,
      project,
      keys: index < WITH_KEYS ? `alt+${index + 1}` : null,
    }))
    .filter(({ project }) => project.id !== current)
  const groups = GROUPS.map((heading) => ({
    heading,
    entries: commands
      .filter((command) => command.group === heading && !command.hidden)
      .map((command) => ({
        kind: 'command' as const,
        value: `command:${command.id}`,
        command,
      })),
  }))
  const all: PaletteGroup[] = [
    { heading: 'Projects', entries: typed || !current ? others : others.slice(0, OTHERS_MAX) },
    ...groups,
  ].filter((group) => group.entries.length > 0)
  if (!typed) return all

  const found = all
    .flatMap((group) => group.entries)
    .map((entry) => ({ entry, score: scoreOf(entry, typed) }))
    .filter(({ score }) => score > 0)
    .toSorted((a, b) => b.score - a.score)
    .map(({ entry }) => entry)
  return found.length > 0 ? [{ heading: null, entries: found }] : []
}

function scoreOf(entry: PaletteEntry, typed: string): number {
  if (entry.kind === 'project') {
    const { project } = entry
    return rank(typed, project.name, `${project.alias ?? ''} ${projectLook(project).word}`)
  }
  const { title, words, touches, disabled } = entry.command
  return rank(typed, title, words) * (disabled ? DISABLED : touches ? DESTROYS : 1)
}
