// Where a new panel goes: chats on one side, what they make on the other; an open panel of the same
// thing comes forward instead.
import type { AddPanelOptions, DockviewApi, DockviewGroupPanel } from 'dockview-react'
import type { PanelKind, PanelSpec } from '@/hooks/dock'

export const TITLES: Record<PanelKind, string> = {
  chat: 'Chat',
  app: 'App',
  terminal: 'Terminal',
  files: 'Files',
  log: 'Log',
  integration: 'Integration',
  service: 'Service',
}

/** The panel's id: the same thing has the same one. */
function idOf(spec: PanelSpec, fresh: boolean): string {
  const unique = () => `${spec.kind}:${crypto.randomUUID().slice(0, 8)}`
  switch (spec.kind) {
    case 'chat':
      return spec.sessionId && !fresh ? `chat:${spec.sessionId}` : unique()
    case 'app':
      return `app:${spec.port ?? 'app'}`
    case 'terminal':
      return spec.terminalId ? `terminal:${spec.terminalId}` : unique()
    case 'files':
    case 'log':
      return spec.kind
    case 'integration':
    case 'service':
      return `${spec.kind}:${spec.id}`
    default:
      return unique()
  }
}

/** An open chat on the same session counts as the same thing, whatever its panel is called. */
function openOne(dock: DockviewApi, spec: PanelSpec, id: string) {
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
  narrow = false,
): void {
  const { kind, ...params } = spec
  const id = idOf(spec, where === 'new')
  const open = openOne(dock, spec, id)
  if (open) {
    if (kind === 'files' || kind === 'log') open.api.updateParameters(params)
    open.api.setActive()
    return
  }
  dock.addPanel({
    id,
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
