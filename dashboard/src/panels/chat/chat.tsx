// A chat: one conversation with the agent. This file finds out which one and how it stands; the
// document and the composer are its parts.
import { useQuery } from '@tanstack/react-query'
import { useCallback, useEffect, useState } from 'react'
import { wordsOf } from '@/api/http'
import { sessionName } from '@/components/session-name'
import { toast } from '@/ui/toasts'
import type { PanelProps } from '@/hooks/dock'
import { useProject, useSession } from '@/hooks/live'
import { useMachineState } from '@/hooks/machine'
import { queries } from '@/hooks/queries'
import { draftKey } from '@/stores/drafts'
import { Button } from '@/ui/button'
import { Failure, Skeleton, Strip } from '@/ui/state'
import { useChatCommands } from './chat-commands'
import { ChatHeader } from './chat-header'
import { Composer } from './composer'
import { useConversationActions } from './conversation-actions'
import { Greeting } from './greeting'
import { MachineStrip } from './machine-strip'
import { TranscriptView } from './transcript-view'
import { WorkingLine } from './working-line'
import { useChatActions } from './chat-actions'

type Props = PanelProps<'chat'>

export function ChatPanel(props: Props) {
  const { params, setParams } = props
  const { id } = useProject()
  const sessions = useQuery(queries.sessions(id))
  const state = useQuery(queries.state(id))
  const current = params.fresh ? null : (sessions.data?.current ?? state.data?.sessionId ?? null)
  const sessionId = params.sessionId ?? current

  // The panel stays with its conversation when another becomes the current one.
  useEffect(() => {
    if (!params.sessionId && current) setParams({ sessionId: current })
  }, [params.sessionId, current, setParams])

  if (sessionId) return <OpenChat key={sessionId} {...props} sessionId={sessionId} />
  if (!params.fresh && (sessions.isPending || state.isPending)) {
    return <Skeleton className="p-4" words="Looking for the conversation…" />
  }
  return <FreshChat {...props} />
}

/** No conversation yet: it is made when the first message is sent. */
function FreshChat({ setParams, setTitle }: Props) {
  const { id, live } = useProject()
  useEffect(() => setTitle('New session'), [setTitle])
  const ensure = useCallback(async () => {
    const { sessionId } = await live.bridge.newSession()
    return sessionId
  }, [live])
  const actions = useChatActions({
    sessionId: null,
    ensure,
    onSession: (s) => setParams({ sessionId: s }),
  })
  return (
    <>
      <ChatHeader
        sessionId={null}
        transcript={null}
        onSwitch={(s) => setParams(s ? { sessionId: s } : { fresh: true })}
      />
      <MachineStrip />
      <div className="min-h-0 grow overflow-y-auto">
        <Greeting onPick={(text) => actions.setDraft(text)} />
      </div>
      <Composer actions={actions} transcript={null} draft={draftKey(id, null)} />
    </>
  )
}

function OpenChat({ sessionId, visible, setParams, setTitle }: Props & { sessionId: string }) {
  const { id, live } = useProject()
  const view = useSession(sessionId)
  const { data: sessions } = useQuery(queries.sessions(id))
  const { alive, closed, isPending } = useMachineState()
  const [pinned, setPinned] = useState(0)
  const actions = useChatActions({ sessionId, onSent: () => setPinned((n) => n + 1) })
  const switchTo = useCallback(
    (next: string | null) => setParams(next ? { sessionId: next } : { fresh: true }),
    [setParams],
  )

  const info = sessions?.sessions.find((session) => session.id === sessionId)
  const transcript = view.state === 'ready' ? view.transcript : null
  useChatCommands({
    transcript,
    visible: visible && !info?.lost,
    closed,
    actions,
    ...useConversationActions(sessionId),
  })
  const name = transcript?.name ?? sessionName(info)
  // A conversation that went back to before its beginning is empty again.
  const written = transcript?.rows.some((row) => row.kind !== 'marker') ?? false
  useEffect(() => setTitle(name), [name, setTitle])

  // A machine without processes works on nothing, whatever was last heard.
  const working = (alive || isPending) && transcript?.status === 'working'

  const retry = useCallback(() => {
    live.bridge
      .retry(sessionId)
      .catch((error: unknown) => toast.error('It was not asked again', wordsOf(error)))
  }, [live, sessionId])

  return (
    <>
      <ChatHeader sessionId={sessionId} transcript={transcript} onSwitch={switchTo} />
      <MachineStrip />
      {info?.lost && (
        <Strip tone="quiet" action={<Button onClick={() => switchTo(null)}>New session</Button>}>
          The machine no longer has this conversation: this is the server’s copy. You can read; to
          go on, begin a new one.
        </Strip>
      )}
      <div className="relative min-h-0 grow">
        {view.state === 'loading' && (
          <Skeleton className="p-5" widths={[38, 82, 74, 60]} words="Reading the conversation…" />
        )}
        {view.state === 'failed' && (
          <Failure
            title="The conversation could not be read"
            message={view.error}
            kept="It is kept with the project; nothing is lost."
            action={<Button onClick={() => void live.session(sessionId).load()}>Try again</Button>}
          />
        )}
        {transcript && !written && <Greeting onPick={(text) => actions.setDraft(text)} />}
        {transcript && written && (
          <TranscriptView
            transcript={transcript}
            working={working}
            visible={visible}
            pinned={pinned}
            onRetry={info?.lost ? null : retry}
          />
        )}
      </div>
      <WorkingLine transcript={transcript} working={working} />
      {!info?.lost && (
        <Composer
          actions={actions}
          transcript={transcript}
          working={working}
          draft={draftKey(id, sessionId)}
        />
      )}
    </>
  )
}
