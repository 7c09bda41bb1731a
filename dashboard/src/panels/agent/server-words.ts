// How a server of tools stands, in a glyph and a word.
import type { McpConnection, McpServer } from '@/api/mcp'
import type { Shape, Tone } from '@/ui/glyph'

export interface ServerLook {
  shape: Shape
  tone: Tone
  word: string
}

export function serverLook({ state, disabled }: Pick<McpServer, 'state' | 'disabled'>): ServerLook {
  if (disabled) return { shape: 'square', tone: 'quiet', word: 'switched off' }
  switch (state) {
    case 'ready':
      return { shape: 'play', tone: 'moss', word: 'running' }
    case 'starting':
      return { shape: 'half', tone: 'moss', word: 'starting' }
    case 'failed':
      return { shape: 'cross', tone: 'red', word: 'failed' }
    case 'needs_sign_in':
      return { shape: 'ask', tone: 'amber', word: 'needs you to sign in' }
    default:
      return { shape: 'ring', tone: 'quiet', word: 'starts when it is needed' }
  }
}

/** What can be done about signing in there. `connect` where a person has to, `offer` where they may. */
export function signInWay(
  { transport, url, state, disabled }: Pick<McpServer, 'transport' | 'url' | 'state' | 'disabled'>,
  connection: Pick<McpConnection, 'state'> | null,
): 'connect' | 'offer' | 'disconnect' | null {
  if (transport !== 'http' || !url?.startsWith('https://') || disabled) return null
  if (connection?.state === 'connected') return state === 'needs_sign_in' ? 'connect' : 'disconnect'
  if (connection || state === 'needs_sign_in') return 'connect'
  return state === 'ready' ? null : 'offer'
}
