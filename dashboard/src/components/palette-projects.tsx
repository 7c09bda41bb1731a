// The projects in the palette: state, name, when something last happened.
import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { Command } from 'cmdk'
import type { ReactNode } from 'react'
import { wordsOf } from '@/api/http'
import type { Project } from '@/api/types'
import { queries } from '@/hooks/queries'
import { usePalette } from '@/stores/palette'
import { Button } from '@/ui/button'
import { Keys } from '@/ui/keys'
import { Failure, Skeleton } from '@/ui/state'
import { Ago } from '@/ui/time'
import { LookGlyph, projectLook } from './project-state'

/** What a project is found by; also its identity in the list. */
export function projectValue(project: Project): string {
  return `${project.name} ${project.id}`
}

/** The first projects have a shortcut each. */
const WITH_KEYS = 3

export function ProjectItems({
  item,
  heading,
  typed,
  empty,
}: {
  item: string
  heading: string
  typed: string
  empty?: ReactNode
}) {
  const navigate = useNavigate()
  const hide = usePalette((state) => state.hide)
  const { data: projects, error, isPending, refetch } = useQuery(queries.projects)

  if (isPending) {
    return <Skeleton className="px-2.5 py-3" words="Reading the projects…" />
  }
  if (error && !projects) {
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
  if (!projects || projects.length === 0) return typed ? null : empty
  return (
    <Command.Group heading="Projects" className={heading}>
      {projects.map((project, index) => {
        const look = projectLook(project)
        return (
          <Command.Item
            key={project.id}
            value={projectValue(project)}
            keywords={[look.word, ...(project.alias ? [project.alias] : [])]}
            onSelect={() => {
              hide()
              void navigate({ to: '/projects/$id', params: { id: project.id } })
            }}
            className={item}
          >
            <span className="flex w-4 shrink-0 justify-center">
              <LookGlyph look={look} />
            </span>
            <span className="truncate">{project.name}</span>
            <span className="shrink-0 text-sm text-ink-3">{look.word}</span>
            <span className="ml-auto flex items-center text-sm text-ink-3">
              <Ago at={Date.parse(project.updatedAt)} />
              {index < WITH_KEYS && (
                <span className="max-md:hidden">
                  <Keys chord={`alt+${index + 1}`} />
                </span>
              )}
            </span>
          </Command.Item>
        )
      })}
    </Command.Group>
  )
}
