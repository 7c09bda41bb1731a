// The line above a conversation: which one, how full its context is, what else can be done.
import { useQuery } from '@tanstack/react-query'
import { wordsOf } from '@/api/http'
import type { Transcript } from '@/api/transcript/types'
import { agentLook } from '@/components/project-state'
import { sessionName } from '@/components/session-name'
import { toast } from '@/ui/toasts'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { useView } from '@/stores/view'
import { IconButton } from '@/ui/button'
import { Icon } from '@/ui/icons'
import { Menu, type MenuList } from '@/ui/menu'
import { count } from '@/util/format'

/** Sessions in the menu; the sidebar has them all. */
const SESSIONS_MAX = 12

const DENSITIES = [
  { value: 'quiet', label: 'Tool calls: least' },
  { value: 'normal', label: 'Tool calls: one line' },
  { value: 'full', label: 'Tool calls: opened' },
] as const

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
  const { id, live } = useProject()
  const { data: list } = useQuery(queries.sessions(id))
  const { density, change } = useView()
  const sessions = list?.sessions ?? []
  const info = sessions.find((session) => session.id === sessionId)
  const name = sessionId ? (transcript?.name ?? sessionName(info)) : 'New session'

  const items: MenuList = [
    { label: 'New session', icon: 'add', onSelect: () => onSwitch(null) },
    ...(sessions.length > 0 ? [null] : []),
    ...sessions.slice(0, SESSIONS_MAX).map((session) => ({
      label: sessionName(session),
      checked: session.id === sessionId,
      ...(session.status === 'idle' ? {} : { note: agentLook(session.status).word }),
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
      label: 'Shorten the conversation now',
      icon: 'log',
      disabled: !sessionId || (transcript?.rows.length ?? 0) === 0,
      onSelect: () => {
        if (!sessionId) return
        live.bridge
          .compact(sessionId)
          .catch((error: unknown) => toast.error('It was not shortened', wordsOf(error)))
      },
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
      {transcript && <ContextMeter transcript={transcript} />}
      <IconButton icon="add" label="New session" onClick={() => onSwitch(null)} />
      <Menu items={more} align="end">
        <IconButton icon="more" label="More" />
      </Menu>
    </div>
  )
}

/** How much of the model's context is used; amber when little is left. */
const FULL_FROM = 0.8

function ContextMeter({ transcript }: { transcript: Transcript }) {
  const { contextTokens, contextWindow } = transcript
  if (!contextTokens || !contextWindow) return null
  const part = Math.min(1, contextTokens / contextWindow)
  const full = part >= FULL_FROM
  return (
    <div
      title={`${contextTokens.toLocaleString()} of ${contextWindow.toLocaleString()} tokens of context used`}
      className="tnum flex shrink-0 items-center gap-1.5 px-1 text-sm text-ink-3"
    >
      <span className="h-1 w-10 overflow-hidden rounded-full bg-press">
        <span
          className={`block h-full ${full ? 'bg-amber' : 'bg-ink-3'}`}
          style={{ width: `${Math.max(3, part * 100)}%` }}
        />
      </span>
      <span className={full ? 'text-amber-text' : ''}>
        {count(contextTokens)}
        <span className="max-md:hidden"> of {count(contextWindow)}</span>
      </span>
    </div>
  )
}
