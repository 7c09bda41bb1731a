// What a person may do in a chat: send, steer, stop, change the queue. A text leaves the composer only
// when the server has taken it.
import { useQueryClient } from '@tanstack/react-query'
import { useEffect, useMemo, useRef, useState } from 'react'
import { wordsOf } from '@/api/http'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { addToDraft, draftKey, useDrafts } from '@/stores/drafts'

export interface ChatActions {
  busy: boolean
  error: string | null
  clearError: () => void
  setDraft: (text: string) => void
  /** Sends; while the agent works it waits in the queue. */
  send: (text: string) => Promise<void>
  /** Delivered after the tools that run now. */
  steer: (text: string) => Promise<void>
  /** Stops; with a text, that is sent once all has stopped. */
  stop: (then?: string) => Promise<void>
  setQueue: (steering: readonly string[], followUp: readonly string[]) => Promise<void>
  configure: (change: {
    provider?: string
    modelId?: string
    thinkingLevel?: string
  }) => Promise<void>
}

export function useChatActions({
  sessionId,
  ensure,
  onSession,
  onSent,
}: {
  sessionId: string | null
  /** Makes the conversation when there is none yet. */
  ensure?: () => Promise<string>
  onSession?: (sessionId: string) => void
  onSent?: () => void
}): ChatActions {
  const { id, live } = useProject()
  const client = useQueryClient()
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<string | null>(null)
  const latest = useRef({ ensure, onSession, onSent })
  useEffect(() => {
    latest.current = { ensure, onSession, onSent }
  })
  const made = useRef<string | null>(sessionId)

  const actions = useMemo(() => {
    const { bridge } = live
    const key = draftKey(id, sessionId)

    const session = async (): Promise<string> => {
      made.current ??= (await latest.current.ensure?.()) ?? null
      if (!made.current) throw new Error('There is no conversation to send to.')
      return made.current
    }
    const attempt = async (what: (session: string) => Promise<void>): Promise<void> => {
      setBusy(true)
      setError(null)
      try {
        const to = await session()
        await what(to)
        if (to !== sessionId) {
          void client.invalidateQueries({ queryKey: queries.sessions(id).queryKey })
          latest.current.onSession?.(to)
        }
      } catch (cause) {
        setError(wordsOf(cause))
      } finally {
        setBusy(false)
      }
    }
    const taken = () => {
      useDrafts.getState().set(key, '')
      latest.current.onSent?.()
      // A sleeping machine was woken by it.
      void client.invalidateQueries({ queryKey: queries.machine(id).queryKey })
    }

    return {
      clearError: () => setError(null),
      setDraft: (text: string) => {
        setError(null)
        useDrafts.getState().set(key, text)
      },
      send: (text: string) =>
        attempt(async (to) => {
          await bridge.prompt(text, to)
          taken()
        }),
      steer: (text: string) =>
        attempt(async (to) => {
          await bridge.steer(text, to)
          taken()
        }),
      stop: (then?: string) =>
        attempt(async (to) => {
          const waiting = await bridge.abort(to, true)
          // What waited is not thrown away: it stands in the composer again.
          const back = [...waiting.steering, ...waiting.followUp].join('\n\n')
          if (then) {
            await bridge.prompt(then, to)
            taken()
          }
          if (back) addToDraft(key, back)
        }),
      setQueue: (steering: readonly string[], followUp: readonly string[]) =>
        attempt(async (to) => {
          await bridge.queue(to, [...steering], [...followUp])
        }),
      configure: (change: { provider?: string; modelId?: string; thinkingLevel?: string }) =>
        attempt(async (to) => {
          await bridge.config({ ...change, sessionId: to })
        }),
    }
  }, [client, id, live, sessionId])
  return { ...actions, busy, error }
}
