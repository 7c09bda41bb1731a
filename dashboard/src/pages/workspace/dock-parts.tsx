// The parts of the dock that are drawn by us: tabs, the actions beside them, the empty dock.
import {
  type IDockviewHeaderActionsProps,
  type IDockviewPanelHeaderProps,
  type IWatermarkPanelProps,
} from 'dockview-react'
import { useSyncExternalStore } from 'react'
import { runById } from '@/hooks/commands'
import type { PanelKind } from '@/hooks/dock'
import { Button, IconButton } from '@/ui/button'
import { Icon, type IconName } from '@/ui/icons'
import { Menu, RightClick, type MenuList } from '@/ui/menu'
import { Empty } from '@/ui/state'
import { closeOthers, splitPanel, toggleMaximized } from './dock-commands'

const ICONS: Record<PanelKind, IconName> = {
  chat: 'chat',
  app: 'app',
  terminal: 'terminal',
  files: 'folder',
  log: 'log',
  integration: 'plug',
  runs: 'flag',
  services: 'list',
  checkpoints: 'pin',
  machine: 'machine',
  agent: 'sliders',
  schedules: 'calendar',
  network: 'globe',
  cost: 'coins',
  secrets: 'key',
}

/** A tab. The cross is for the pointer alone: the library makes the whole tab a control, and a
 * control within one would be read wrongly. By keyboard: Delete, or the command. */
export function DockTab({ api, containerApi }: IDockviewPanelHeaderProps) {
  const title = useSyncExternalStore(
    (changed) => {
      const gone = api.onDidTitleChange(changed)
      return () => gone.dispose()
    },
    () => api.title,
  )
  const kind = (api.id.split(':')[0] ?? 'chat') as PanelKind
  const panel = containerApi.getPanel(api.id)

  const items: MenuList = [
    {
      label: 'Split right',
      icon: 'splitRight',
      onSelect: () => panel && splitPanel(containerApi, panel, 'right'),
    },
    {
      label: 'Split down',
      icon: 'splitDown',
      onSelect: () => panel && splitPanel(containerApi, panel, 'below'),
    },
    {
      label: api.isMaximized() ? 'Back to the layout' : 'Fill the window',
      icon: 'max',
      onSelect: () => panel && toggleMaximized(panel),
    },
    null,
    { label: 'Close', icon: 'close', onSelect: () => api.close() },
    { label: 'Close others', onSelect: () => panel && closeOthers(panel) },
  ]

  return (
    <RightClick items={items}>
      <div
        role="presentation"
        title={title}
        className="group flex h-full max-w-52 items-center gap-1.5 pr-1 pl-2.5 select-none"
        onAuxClick={(event) => event.button === 1 && api.close()}
      >
        <Icon name={ICONS[kind] ?? 'file'} width={14} height={14} className="text-ink-3" />
        <span className="truncate">{title}</span>
        <span
          aria-hidden="true"
          className="tab-close invisible flex size-5 items-center justify-center rounded-sm text-ink-3 hover:bg-press hover:text-ink"
          onPointerDown={(event) => event.stopPropagation()}
          onClick={(event) => {
            event.stopPropagation()
            api.close()
          }}
        >
          <Icon name="close" width={12} height={12} />
        </span>
      </div>
    </RightClick>
  )
}

/** At the right end of a group's tabs: open another panel here. */
export function DockActions({ group, activePanel, containerApi }: IDockviewHeaderActionsProps) {
  const run = (id: string) => () => {
    group.api.setActive()
    runById(id)
  }
  return (
    <div className="flex h-full items-center pr-0.5">
      <Menu
        align="end"
        items={[
          { label: 'New chat', icon: 'chat', keys: 'alt+c', onSelect: run('chat.new') },
          { label: 'App', icon: 'app', keys: 'alt+a', onSelect: run('panel.app') },
          { label: 'Terminal', icon: 'terminal', keys: 'alt+t', onSelect: run('panel.terminal') },
          { label: 'Files', icon: 'folder', keys: 'alt+f', onSelect: run('panel.files') },
          { label: 'Log', icon: 'log', keys: 'alt+l', onSelect: run('panel.log') },
          { label: 'Runs', icon: 'flag', keys: 'alt+r', onSelect: run('panel.runs') },
          null,
          {
            label: 'Checkpoints',
            icon: 'pin',
            keys: 'alt+k',
            onSelect: run('panel.checkpoints'),
          },
          { label: 'Services', icon: 'list', keys: 'alt+s', onSelect: run('panel.services') },
          { label: 'Schedules', icon: 'calendar', keys: 'alt+j', onSelect: run('panel.schedules') },
          { label: 'Network', icon: 'globe', keys: 'alt+e', onSelect: run('panel.network') },
          { label: 'Machine', icon: 'machine', keys: 'alt+i', onSelect: run('panel.machine') },
          { label: 'Agent', icon: 'sliders', keys: 'alt+g', onSelect: run('panel.agent') },
          { label: 'Secrets', icon: 'key', keys: 'alt+v', onSelect: run('panel.secrets') },
          { label: 'Cost', icon: 'coins', keys: 'alt+u', onSelect: run('panel.cost') },
        ]}
      >
        <IconButton icon="add" label="Open a panel" />
      </Menu>
      {activePanel && (
        <span className="max-md:hidden">
          <IconButton
            icon="splitRight"
            label="Split right"
            onClick={() => splitPanel(containerApi, activePanel, 'right')}
          />
        </span>
      )}
    </div>
  )
}

export function DockWatermark(_props: IWatermarkPanelProps) {
  return (
    <div className="h-full bg-surface">
      <Empty
        title="No panels open"
        action={
          <>
            <Button variant="primary" icon="chat" onClick={() => runById('chat.new')}>
              Open a chat
            </Button>
            <Button icon="terminal" onClick={() => runById('panel.terminal')}>
              Open a terminal
            </Button>
          </>
        }
      >
        Panels hold chats, the app, terminals, files and the log. Drag their tabs to lay them out.
      </Empty>
    </div>
  )
}
