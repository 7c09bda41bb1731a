// The page of one project: top bar, sidebar, panels, all fed by one event stream.
import { useQuery } from '@tanstack/react-query'
import { useParams } from '@tanstack/react-router'
import { useEffect, useMemo, useState } from 'react'
import { ApiError, wordsOf } from '@/api/http'
import { LiveProject } from '@/api/live/project'
import type { Project } from '@/api/types'
import { ProjectContext } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { NotFound } from '@/pages/shell/page-states'
import { Button } from '@/ui/button'
import { Failure } from '@/ui/state'
import { WorkspaceFrame } from './frame'
import { Opening } from './opening'

/** While a new machine is being made its state is asked for this often. */
const CREATING_EVERY_MS = 400

export function Workspace() {
  const { id } = useParams({ from: '/projects/$id' })
  const { data: project, error, refetch } = useQuery(queries.project(id))

  if (error instanceof ApiError && error.status === 404) return <NotFound />
  if (!project && error) {
    return (
      <main className="h-full">
        <Failure
          title="The project could not be read"
          message={wordsOf(error)}
          kept="It is kept on the server; nothing is lost."
          action={<Button onClick={() => void refetch()}>Try again</Button>}
        />
      </main>
    )
  }
  if (!project) {
    return <Opening words="Reading the project…" />
  }
  return <Opened key={project.id} project={project} />
}

/** Opens the stream once the number to begin at is known. */
function Opened({ project }: { project: Project }) {
  const { id, name } = project
  const { data: state, error } = useQuery({
    ...queries.state(id),
    refetchInterval: (query) =>
      query.state.data || (query.state.error && project.state !== 'creating')
        ? false
        : CREATING_EVERY_MS,
  })
  const known = state !== undefined || error !== null
  const [live, setLive] = useState<LiveProject | null>(null)
  const seq = state?.seq ?? null

  useEffect(() => {
    if (!known) return
    const opened = new LiveProject(id, seq)
    setLive(opened)
    return () => {
      opened.close()
      setLive(null)
    }
    // The number matters only at the moment of opening: later ones come by the stream itself.
    // oxlint-disable-next-line react/exhaustive-deps
  }, [id, known])

  const scope = useMemo(() => (live ? { id, name, live } : null), [id, name, live])
  if (!scope) {
    return <Opening name={name} words="Opening the project…" />
  }
  return (
    <ProjectContext value={scope}>
      <WorkspaceFrame project={project} />
    </ProjectContext>
  )
}
