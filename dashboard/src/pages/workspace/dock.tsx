// The dock: the docking library, fed with our panels, tabs and colours. The only file (with its
// neighbours open-panel and dock-commands) that knows the library.
import 'dockview-react/dist/styles/dockview.css'
import './dock.css'
import {
  DockviewReact,
  type DockviewApi,
  type DockviewTheme,
  type IDockviewPanelProps,
  type SerializedDockview,
} from 'dockview-react'
import {
  lazy,
  Suspense,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useSyncExternalStore,
  type ComponentType,
} from 'react'
import type { PanelKind, PanelProps } from '@/hooks/dock'
import { loadLayout, saveLayout, type Form } from '@/stores/layout'
import { Boundary } from '@/ui/boundary'
import { Skeleton } from '@/ui/state'
import { DockActions, DockTab, DockWatermark } from './dock-parts'
import { openPanel, TITLES } from './open-panel'

/** Saving waits until a drag has settled. */
const SAVE_AFTER_MS = 250

const THEME: DockviewTheme = {
  name: 'toft',
  className: 'dockview-theme-toft',
  dndOverlayMounting: 'absolute',
  dndPanelOverlay: 'group',
  dndTabIndicator: 'line',
  tabGroupIndicator: 'none',
}

const PANELS: { [K in PanelKind]: ComponentType<PanelProps<K>> } = {
  chat: lazy(() => import('@/panels/chat/chat').then((m) => ({ default: m.ChatPanel }))),
  app: lazy(() => import('@/panels/app/app').then((m) => ({ default: m.AppPanel }))),
  terminal: lazy(() =>
    import('@/panels/terminal/terminal').then((m) => ({ default: m.TerminalPanel })),
  ),
  files: lazy(() => import('@/panels/files/files').then((m) => ({ default: m.FilesPanel }))),
  log: lazy(() => import('@/panels/log/log').then((m) => ({ default: m.LogPanel }))),
  integration: lazy(() =>
    import('@/panels/integration/integration').then((m) => ({ default: m.IntegrationPanel })),
  ),
  runs: lazy(() => import('@/panels/runs/runs').then((m) => ({ default: m.RunsPanel }))),
  services: lazy(() =>
    import('@/panels/services/services').then((m) => ({ default: m.ServicesPanel })),
  ),
  checkpoints: lazy(() =>
    import('@/panels/checkpoints/checkpoints').then((m) => ({ default: m.CheckpointsPanel })),
  ),
  machine: lazy(() =>
    import('@/panels/machine/machine').then((m) => ({ default: m.MachinePanel })),
  ),
  agent: lazy(() => import('@/panels/agent/agent').then((m) => ({ default: m.AgentPanel }))),
  schedules: lazy(() =>
    import('@/panels/schedules/schedules').then((m) => ({ default: m.SchedulesPanel })),
  ),
  network: lazy(() =>
    import('@/panels/network/network').then((m) => ({ default: m.NetworkPanel })),
  ),
  cost: lazy(() => import('@/panels/cost/cost').then((m) => ({ default: m.CostPanel }))),
  secrets: lazy(() =>
    import('@/panels/secrets/secrets').then((m) => ({ default: m.SecretsPanel })),
  ),
}

/** Scrolls the tabs of each group so far that the one in front is in sight. */
function showActiveTabs(root: HTMLElement | null): void {
  for (const tab of root?.querySelectorAll('.dv-tab.dv-active-tab') ?? []) {
    tab.scrollIntoView({ block: 'nearest', inline: 'nearest' })
  }
}

/** Turns the library's props into ours. */
function adapter<K extends PanelKind>(kind: K) {
  const Panel = PANELS[kind] as ComponentType<PanelProps<K>>
  return function Adapter({ api, params }: IDockviewPanelProps<PanelProps<K>['params']>) {
    const visible = useSyncExternalStore(
      (changed) => {
        const gone = api.onDidVisibilityChange(changed)
        return () => gone.dispose()
      },
      () => api.isVisible,
    )
    const shown = useRef(params)
    useLayoutEffect(() => {
      shown.current = params
    }, [params])
    const actions = useMemo(
      () => ({
        setParams: (next: PanelProps<K>['params']) => {
          // The library adds to what is there; a name is only taken away by `undefined`. It tells
          // what was set last, not what the panel was made with: that is in its properties.
          const names = Object.keys({ ...shown.current, ...api.getParameters() })
          const gone = names.map((name) => [name, undefined])
          api.updateParameters({ ...Object.fromEntries(gone), ...next })
        },
        setTitle: (title: string) => api.setTitle(title),
        close: () => api.close(),
      }),
      [api],
    )
    return (
      <section
        aria-label={`${TITLES[kind]} panel`}
        className="flex h-full flex-col overflow-hidden bg-surface"
      >
        <Boundary>
          <Suspense fallback={<Skeleton className="p-4" />}>
            <Panel panelId={api.id} params={params} visible={visible} {...actions} />
          </Suspense>
        </Boundary>
      </section>
    )
  }
}

const COMPONENTS = {
  chat: adapter('chat'),
  app: adapter('app'),
  terminal: adapter('terminal'),
  files: adapter('files'),
  log: adapter('log'),
  integration: adapter('integration'),
  runs: adapter('runs'),
  services: adapter('services'),
  checkpoints: adapter('checkpoints'),
  machine: adapter('machine'),
  agent: adapter('agent'),
  schedules: adapter('schedules'),
  network: adapter('network'),
  cost: adapter('cost'),
  secrets: adapter('secrets'),
}
const TABS = { tab: DockTab }

/** Puts the kept layout back; a layout that does not fit any more gives way to the default one. */
function restore(dock: DockviewApi, project: string, form: Form): void {
  const kept = loadLayout(project, form)
  if (kept) {
    try {
      dock.fromJSON(kept as SerializedDockview)
      return
    } catch {
      dock.clear()
    }
  }
  openPanel(dock, { kind: 'chat' })
}

export function Dock({
  project,
  form,
  onReady,
}: {
  project: string
  form: Form
  onReady: (dock: DockviewApi | null) => void
}) {
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  /** What the timer will do. */
  const saving = useRef<(() => void) | null>(null)
  const root = useRef<HTMLElement>(null)
  useEffect(() => {
    // Who leaves the page before that finds the layout all the same.
    const saveNow = () => saving.current?.()
    addEventListener('pagehide', saveNow)
    return () => {
      removeEventListener('pagehide', saveNow)
      clearTimeout(timer.current)
      onReady(null)
    }
  }, [onReady])
  return (
    <main ref={root} className="min-w-0 grow">
      <DockviewReact
        components={COMPONENTS}
        tabComponents={TABS}
        defaultTabComponent={DockTab}
        rightHeaderActionsComponent={DockActions}
        watermarkComponent={DockWatermark}
        theme={THEME}
        defaultRenderer="always"
        disableFloatingGroups
        scrollbars="native"
        onReady={({ api }) => {
          restore(api, project, form)
          // A tab is as wide as its title, and the strip as what is left, only after they were drawn.
          const show = () => requestAnimationFrame(() => showActiveTabs(root.current))
          api.onDidActivePanelChange(show)
          api.onDidLayoutChange(() => {
            show()
            clearTimeout(timer.current)
            saving.current = () => {
              saving.current = null
              saveLayout(project, form, api.toJSON())
            }
            timer.current = setTimeout(saving.current, SAVE_AFTER_MS)
          })
          onReady(api)
        }}
      />
    </main>
  )
}
