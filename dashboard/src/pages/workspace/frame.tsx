// Top bar, sidebar and dock, and what ties them together.
import type { DockviewApi } from 'dockview-react'
import { useQuery } from '@tanstack/react-query'
import { lazy, Suspense, useCallback, useEffect, useRef, useState } from 'react'
import type { Project } from '@/api/types'
import { OpenPanelContext, type OpenPanel } from '@/hooks/dock'
import { useNarrow } from '@/hooks/media'
import { queries } from '@/hooks/queries'
import { useAsking } from '@/stores/asking'
import { takeOpening } from '@/hooks/opening'
import { useView } from '@/stores/view'
import { openPanel } from './open-panel'
import { CandidateNotice } from './candidate-notice'
import { LimitNotice } from './limit-notice'
import { Boundary } from '@/ui/boundary'
import { Skeleton } from '@/ui/state'
import { Sidebar } from './sidebar'
import { TopBar } from './top-bar'
import { useDockCommands } from './dock-commands'
import { useLiveEffects } from './live-effects'
import { useMachineCommands } from './machine-commands'
import { useProjectCommands } from './project-commands'

const loadDock = () => import('./dock')
const Dock = lazy(() => loadDock().then((m) => ({ default: m.Dock })))
// It is large, and always needed here: it comes while the project is read. What cannot be loaded now is
// asked for again when it is drawn, and complains there.
void loadDock().catch(() => {})

const AskedDialog = lazy(() =>
  import('@/components/asked-dialog').then((m) => ({ default: m.AskedDialog })),
)

/** Loaded when something is asked for the first time. */
function Asked() {
  const { asked, done } = useAsking()
  useEffect(() => done, [done])
  return (
    asked && (
      <Suspense>
        <AskedDialog asked={asked} />
      </Suspense>
    )
  )
}

export function WorkspaceFrame({ project }: { project: Project }) {
  const narrow = useNarrow()
  const { sidebar, change } = useView()
  const [drawer, setDrawer] = useState(false)
  const [dock, setDock] = useState<DockviewApi | null>(null)
  const early = useRef<Parameters<OpenPanel> | null>(null)
  const { data: machine } = useQuery(queries.machine(project.id))
  const { data: agent } = useQuery(queries.state(project.id))
  const appPort = agent?.appPort ?? null
  const state = machine?.state ?? project.state

  const open = useCallback<OpenPanel>(
    (spec, where) => {
      if (dock) openPanel(dock, spec, where, { narrow, appPort })
      else early.current = [spec, where]
      setDrawer(false)
    },
    [dock, narrow, appPort],
  )
  // What was asked for while the panels were being loaded.
  useEffect(() => {
    if (!dock) return
    const [spec, where] = early.current ?? [takeOpening(project.id)]
    early.current = null
    if (spec) open(spec, where)
  }, [dock, open, project.id])
  const toggleSidebar = useCallback(() => {
    if (narrow) setDrawer((shown) => !shown)
    else change({ sidebar: !useView.getState().sidebar })
  }, [narrow, change])

  useLiveEffects(project)
  useProjectCommands(project, open, toggleSidebar)
  useMachineCommands(project, state, machine, open)
  useDockCommands(dock, project.id, narrow)

  return (
    <OpenPanelContext value={open}>
      <div className="flex h-full flex-col">
        <TopBar project={project} machine={machine} onSidebar={toggleSidebar} />
        <CandidateNotice project={project} />
        <LimitNotice />
        <div className="relative flex min-h-0 grow">
          {(narrow ? drawer : sidebar) && (
            <>
              {narrow && (
                <button
                  type="button"
                  aria-label="Close the sidebar"
                  className="absolute inset-0 z-20 bg-scrim"
                  onClick={() => setDrawer(false)}
                />
              )}
              <Sidebar narrow={narrow} />
            </>
          )}
          <Boundary>
            <Suspense
              fallback={
                <main className="min-w-0 grow bg-surface">
                  <Skeleton className="p-4" words="Opening the panels…" />
                </main>
              }
            >
              <Dock
                key={narrow ? 'narrow' : 'wide'}
                project={project.id}
                form={narrow ? 'narrow' : 'wide'}
                onReady={setDock}
              />
            </Suspense>
          </Boundary>
        </div>
      </div>
      <Asked />
    </OpenPanelContext>
  )
}
