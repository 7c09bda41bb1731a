// What a person may do in a chat: send, steer, stop, change the queue. A text leaves the composer only
// when the server has taken it.
import { useQueryClient } from '@tanstack/react-query'

import { useEffect, useMemo, useRef, useState } from 'react'
import type { Mode } from '@/api/bridge-types'
import { ApiError } from '@/api/http'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { addToDraft, draftKey, useDrafts } from '@/stores/drafts'
import { forgetName, nameOf, rename, sendingOf } from '@/stores/sending'
import { wordsOfFailure } from './failure-words'

type How = 'send' | 'steer'

/** What went wrong, and with a message how it was sent: so it can be sent again. */
interface Failed {
  words: string
  again: How | null
}

export interface ChatActions {
  busy: boolean
  error: Failed | null
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
  setMode: (mode: Mode) => Promise<void>
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
  const [error, setError] = useState<Failed | null>(null)
  const latest = useRef({ ensure, onSession, onSent })
  useEffect(() => {
    latest.current = { ensure, onSession, onSent }
  })
  const made = useRef<string | null>(sessionId)

  const actions = useMemo(() => {
    const { bridge } = live
    const key = draftKey(id, sessionId)

    const session = async (): Promise<string> => {
      // Before a reload it was made for the same message, which may be in it.
      made.current ??= sendingOf(key)?.sessionId ?? null
      made.current ??= (await latest.current.ensure?.()) ?? null
      if (!made.current) throw new Error('There is no conversation to send to.')
      return made.current
    }
    const attempt = async (
      what: (session: string) => Promise<void>,
      again: () => How | null = () => null,
    ): Promise<void> => {
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
        setError({ words: wordsOfFailure(cause), again: again() })
      } finally {
        setBusy(false)
      }
    }
    /** Its text was taken or given up: it leaves the composer, and what waited for that comes back. */
    const empty = (text: string) => {
      const back = forgetName(key)
      const { drafts, set } = useDrafts.getState()
      // Something else may have been typed meanwhile.
      if (!text || drafts[key]?.trim() === text) set(key, '')
      if (back) addToDraft(key, back)
    }
    const say = async (how: 'prompt' | 'steer', text: string, to: string, back = '') => {
      const name = nameOf(key, text, to, back)
      try {
        await bridge[how](text, to, name)
      } catch (cause) {
        const code = cause instanceof ApiError ? cause.code : null
        // The name stands for something else: it was not taken under it, and never will be.
        if (code === 'conflict') rename(key)
        if (code === 'session_not_found' && sessionId === null) {
          made.current = null
          forgetName(key)
        }
        throw cause
      }
      empty(text)
      latest.current.onSent?.()
      // A sleeping machine was woken by it.
      void client.invalidateQueries({ queryKey: queries.machine(id).queryKey })
    }

    return {
      clearError: () => setError(null),
      setDraft: (text: string) => {
        setError(null)
        // Given up: the same words typed again are another message.
        if (text.trim() === '') empty('')
        else useDrafts.getState().set(key, text)
      },
      send: (text: string) =>
        attempt(
          (to) => say('prompt', text, to),
          () => 'send',
        ),
      steer: (text: string) =>
        attempt(
          (to) => say('steer', text, to),
          () => 'steer',
        ),
      stop: (then?: string) => {
        let stopped = false
        return attempt(
          async (to) => {
            const waiting = await bridge.abort(to, true)
            // What waited is not thrown away: it stands in the composer again.
            const back = [...waiting.steering, ...waiting.followUp].join('\n\n')
            stopped = true
            if (then) await say('prompt', then, to, back)
            else if (back) addToDraft(key, back)
          },
          () => (then && stopped ? 'send' : null),
        )
      },
      setQueue: (steering: readonly string[], followUp: readonly string[]) =>
        attempt(async (to) => {
          await bridge.queue(to, [...steering], [...followUp])
        }),
      configure: (change: { provider?: string; modelId?: string; thinkingLevel?: string }) =>
        attempt(async (to) => {
          await bridge.config({ ...change, sessionId: to })
        }),
      setMode: (mode: Mode) =>
        attempt(async (to) => {
          await bridge.mode(to, mode)
        }),
    }
  }, [client, id, live, sessionId])
  return { ...actions, busy, error }
}
