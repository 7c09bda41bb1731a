// Laying out panels without a mouse: the same moves as commands.
import type { AddPanelOptions, DockviewApi, IDockviewPanel } from 'dockview-react'
import { useMemo } from 'react'
import { useCommands } from '@/hooks/commands'
import type { Command } from '@/stores/commands'
import { saveLayout } from '@/stores/layout'
import { shortId } from '@/util/plain-http'
import { openPanel, TITLES } from './open-panel'

/** Gives a panel a half of its own. The only one of its group stays, and gets company there: a
 * second terminal beside a terminal, a chat beside everything else. */
export function splitPanel(dock: DockviewApi, panel: IDockviewPanel, to: 'right' | 'below'): void {
  if (panel.group.panels.length > 1) {
    panel.api.moveTo({ group: panel.group, position: to === 'right' ? 'right' : 'bottom' })
    return
  }
  const kind = panel.id.startsWith('terminal:') ? 'terminal' : 'chat'
  dock.addPanel({
    id: `${kind}:${shortId()}`,
    component: kind,
    tabComponent: 'tab',
    title: TITLES[kind],
    params: kind === 'chat' ? { fresh: true } : {},
    renderer: 'always',
    position: { referencePanel: panel.id, direction: to },
  } satisfies AddPanelOptions)
}

export function closeOthers(panel: IDockviewPanel): void {
  for (const other of panel.group.panels.slice()) if (other.id !== panel.id) other.api.close()
}

export function toggleMaximized(panel: IDockviewPanel): void {
  if (panel.api.isMaximized()) panel.api.exitMaximized()
  else panel.api.maximize()
}

export function useDockCommands(dock: DockviewApi | null, project: string, narrow: boolean): void {
  const commands = useMemo<Command[]>(() => {
    if (!dock) return []
    const panel = (
      id: string,
      title: string,
      icon: Command['icon'],
      keys: string[],
      run: (panel: IDockviewPanel) => void,
    ): Command => ({
      id,
      title,
      group: 'Panels',
      ...(icon ? { icon } : {}),
      keys,
      words: 'panel layout dock',
      run: () => {
        if (dock.activePanel) run(dock.activePanel)
      },
    })
    const moveGroup = (active: IDockviewPanel) => {
      const at = dock.groups.findIndex((group) => group.id === active.group.id)
      const target = dock.groups[(at + 1) % dock.groups.length]
      if (target && target.id !== active.group.id) active.api.moveTo({ group: target })
    }
    const step = (active: IDockviewPanel, by: number) => {
      const all = dock.groups.flatMap((group) => group.panels)
      const at = all.findIndex((each) => each.id === active.id)
      all[(at + by + all.length) % all.length]?.api.setActive()
    }
    return [
      panel('panel.splitRight', 'Split panel right', 'splitRight', ['alt+\\'], (p) =>
        splitPanel(dock, p, 'right'),
      ),
      panel('panel.splitDown', 'Split panel down', 'splitDown', ['alt+-'], (p) =>
        splitPanel(dock, p, 'below'),
      ),
      panel('panel.move', 'Move panel to the next group', 'steer', ['alt+m'], moveGroup),
      panel('panel.next', 'Next panel', 'chevron', ['alt+]'], (p) => step(p, 1)),
      panel('panel.previous', 'Previous panel', 'back', ['alt+['], (p) => step(p, -1)),
      panel(
        'panel.maximize',
        'Fill the window with the panel',
        'max',
        ['alt+enter'],
        toggleMaximized,
      ),
      panel('panel.close', 'Close panel', 'close', ['alt+w'], (p) => p.api.close()),
      {
        id: 'panel.reset',
        title: 'Reset the layout',
        group: 'Panels',
        icon: 'reload',
        words: 'panels default dock',
        run: () => {
          dock.clear()
          saveLayout(project, narrow ? 'narrow' : 'wide', null)
          openPanel(dock, { kind: 'chat' })
        },
      },
    ]
  }, [dock, project, narrow])
  useCommands(commands)
}
