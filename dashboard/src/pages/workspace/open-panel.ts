// Where a new panel goes: chats on one side, what they make on the other; an open panel of the same
// thing comes forward instead.
import type { AddPanelOptions, DockviewApi, DockviewGroupPanel } from 'dockview-react'
import type { PanelKind, PanelSpec } from '@/hooks/dock'
import { shortId } from '@/util/plain-http'

export const TITLES: Record<PanelKind, string> = {
  chat: 'Chat',
  app: 'App',
  terminal: 'Terminal',
  files: 'Files',
  log: 'Log',
  integration: 'Integration',
  runs: 'Runs',
  services: 'Services',
  checkpoints: 'Checkpoints',
  machine: 'Machine',
  agent: 'Agent',
  schedules: 'Schedules',
  network: 'Network',
  cost: 'Cost',
  secrets: 'Secrets',
}

/** Panels that show the asked-for thing in the one that is open. */
const ONE_OF_A_KIND = new Set<PanelKind>([
  'agent',
  'files',
  'log',
  'services',
  'checkpoints',
  'runs',
  'schedules',
  'secrets',
])

const unique = (kind: PanelKind) => `${kind}:${shortId()}`

/** The panel's id: the same thing has the same one. */
function idOf(spec: PanelSpec, fresh: boolean): string {
  switch (spec.kind) {
    case 'chat':
      return spec.sessionId && !fresh ? `chat:${spec.sessionId}` : unique(spec.kind)
    case 'app':
      return `app:${spec.port ?? 'app'}`
    case 'terminal':
      return spec.terminalId ? `terminal:${spec.terminalId}` : unique(spec.kind)
    case 'files':
    case 'log':
    case 'runs':
    case 'services':
    case 'checkpoints':
    case 'machine':
    case 'agent':
    case 'schedules':
    case 'network':
    case 'cost':
    case 'secrets':
      return spec.kind
    case 'integration':
      return `${spec.kind}:${spec.id}`
    default:
      return unique('chat')
  }
}

/** The open panel of the same thing, whatever it is called: a chat on the session, an app on the
 * port. */
function openOne(dock: DockviewApi, spec: PanelSpec, id: string, appPort: number | null) {
  if (spec.kind === 'app') {
    const port = spec.port ?? appPort
    return dock.panels.find((p) => p.id.startsWith('app:') && (p.params?.port ?? appPort) === port)
  }
  if (spec.kind === 'chat' && spec.sessionId) {
    const { sessionId } = spec
    const same = dock.panels.find(
      (p) => p.id.startsWith('chat:') && p.params?.sessionId === sessionId,
    )
    if (same) return same
  }
  return dock.getPanel(id)
}

export function openPanel(
  dock: DockviewApi,
  spec: PanelSpec,
  where: 'beside' | 'new' = 'beside',
  { narrow = false, appPort = null }: { narrow?: boolean; appPort?: number | null } = {},
): void {
  const { kind, ...params } = spec
  const wanted = idOf(spec, where === 'new')
  const open = openOne(dock, spec, wanted, appPort)
  if (open) {
    if (ONE_OF_A_KIND.has(kind)) open.api.updateParameters(params)
    open.api.setActive()
    return
  }
  dock.addPanel({
    // An app that went to another port still has the id of its first one.
    id: dock.getPanel(wanted) ? unique(kind) : wanted,
    component: kind,
    tabComponent: 'tab',
    title: TITLES[kind],
    params,
    renderer: 'always',
    ...place(dock, kind, narrow),
  } as AddPanelOptions)
}

function place(dock: DockviewApi, kind: PanelKind, narrow: boolean): Partial<AddPanelOptions> {
  const { groups } = dock
  const active = dock.activeGroup
  if (groups.length === 0 || !active) return {}
  if (narrow) return { position: { referenceGroup: active } }
  const holdsChat = (group: DockviewGroupPanel) =>
    group.panels.some((p) => p.id.startsWith('chat:'))
  if (kind === 'chat') {
    const home = holdsChat(active) ? active : groups.find(holdsChat)
    return home ? { position: { referenceGroup: home } } : { position: { direction: 'left' } }
  }
  const other = holdsChat(active) ? groups.findLast((group) => !holdsChat(group)) : active
  if (other) return { position: { referenceGroup: other } }
  return {
    position: { referenceGroup: active, direction: 'right' },
    initialWidth: Math.round(dock.width * 0.54),
  }
}
