// What a conversation is called: its name, else how it began.
import type { SessionInfo } from '@/api/bridge-types'

const NAME_CHARS_MAX = 60

export function sessionName(session: SessionInfo | undefined): string {
  const words = (session?.name ?? session?.firstMessage ?? '').replaceAll(/\s+/g, ' ').trim()
  if (!words) return 'New session'
  return words.length > NAME_CHARS_MAX ? `${words.slice(0, NAME_CHARS_MAX - 1)}…` : words
}
