// The line above a conversation: which one, how full its context is, what else can be done.
import { useQuery } from '@tanstack/react-query'
import type { Transcript } from '@/api/transcript/types'
import { sessionLook } from '@/components/project-state'
import { sessionName } from '@/components/session-name'
import type { SessionInfo } from '@/api/bridge-types'
import { useOpenPanel } from '@/hooks/dock'
import { useProject } from '@/hooks/live'
import { useMachineState } from '@/hooks/machine'
import { queries } from '@/hooks/queries'
import { useView } from '@/stores/view'
import { IconButton } from '@/ui/button'
import { Icon } from '@/ui/icons'
import { Menu, type MenuList } from '@/ui/menu'
import { ContextMeter } from './context-meter'
import { useConversationActions } from './conversation-actions'

/** Sessions in the menu; the sidebar has them all. */
const SESSIONS_MAX = 12

const DENSITIES = [
  { value: 'quiet', label: 'Tool calls: least' },
  { value: 'normal', label: 'Tool calls: one line' },
  { value: 'full', label: 'Tool calls: opened' },
] as const

/** How a conversation stands, where that is worth a word. */
function noteOf(session: SessionInfo): { note?: string } {
  const { word, shape } = sessionLook(session)
  return shape === 'dot' ? {} : { note: word }
}

export function ChatHeader({
  sessionId,
  transcript,
  onSwitch,
}: {
  sessionId: string | null
  transcript: Transcript | null
  /** Null begins a new conversation. */
  onSwitch: (sessionId: string | null) => void
}) {
  const { id } = useProject()
  const { data: list } = useQuery(queries.sessions(id))
  const openPanel = useOpenPanel()
  const { density, change } = useView()
  const { closed } = useMachineState()
  const { compact, branches, exportPage } = useConversationActions(sessionId)
  const sessions = list?.sessions ?? []
  const info = sessions.find((session) => session.id === sessionId)
  const written = (transcript?.rows.length ?? 0) > 0 && !info?.lost
  const name = sessionId ? (transcript?.name ?? sessionName(info)) : 'New session'

  const items: MenuList = [
    { label: 'New session', icon: 'add', onSelect: () => onSwitch(null) },
    ...(sessions.length > 0 ? [null] : []),
    ...sessions.slice(0, SESSIONS_MAX).map((session) => ({
      label: sessionName(session),
      checked: session.id === sessionId,
      ...noteOf(session),
      onSelect: () => onSwitch(session.id),
    })),
  ]
  const more: MenuList = [
    ...DENSITIES.map(({ value, label }) => ({
      label,
      checked: density === value,
      onSelect: () => change({ density: value }),
    })),
    null,
    {
      label: 'Compact the conversation',
      icon: 'log',
      disabled: !written || closed,
      onSelect: compact,
    },
    {
      label: 'All branches…',
      icon: 'fork',
      disabled: !written || closed,
      onSelect: branches,
    },
    {
      label: 'Export as a page',
      icon: 'download',
      disabled: !written || closed,
      onSelect: exportPage,
    },
    null,
    {
      label: 'Permissions, limits, tools…',
      icon: 'sliders',
      keys: 'alt+g',
      onSelect: () => openPanel({ kind: 'agent' }),
    },
  ]

  return (
    <div className="flex h-8 shrink-0 items-center gap-1 border-b pr-1 pl-2 max-md:h-11">
      <Menu items={items}>
        <button
          type="button"
          className="flex h-6 min-w-0 items-center gap-1 rounded-md px-1.5 text-ink-2 hover:bg-hover hover:text-ink max-md:h-9"
        >
          <span className="truncate">{name}</span>
          <Icon name="chevronDown" width={12} height={12} className="text-ink-3" />
        </button>
      </Menu>
      <div className="grow" />
      {transcript && sessionId && (
        <ContextMeter transcript={transcript} disabled={closed || !written} onCompact={compact} />
      )}
      <IconButton icon="add" label="New session" onClick={() => onSwitch(null)} />
      <Menu items={more} align="end">
        <IconButton icon="more" label="More" />
      </Menu>
    </div>
  )
}
