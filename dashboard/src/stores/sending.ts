// The names of messages that were sent and of which it is not known yet what became. Sent again under its
// name a message is never said twice. Survives a reload, as the text in the composer does.
import { uniqueId } from '@/util/plain-http'
import { load, save } from '@/util/storage'

const STORED = 'toft.sending'
/** The oldest go first. */
const SENDING_MAX = 100

export interface Sending {
  /** Its name, made when it was first sent. */
  key: string
  text: string
  /** The conversation that it was sent to. */
  sessionId: string
  /** What waited when the agent was stopped for it: stands in the composer once this was taken. */
  back?: string
}

let all: Record<string, Sending> = load<Record<string, Sending>>(STORED, 1) ?? {}

function put(draft: string, sending: Sending | null): void {
  const { [draft]: _old, ...others } = all
  const entries = Object.entries(sending ? { ...others, [draft]: sending } : others)
  all = Object.fromEntries(entries.slice(-SENDING_MAX))
  save(STORED, 1, all)
}

/** What was sent of a draft and not heard of, if anything. */
export function sendingOf(draft: string): Sending | null {
  return all[draft] ?? null
}

/** The name to send a draft under: the one that it has, or a new one for other words or elsewhere. */
export function nameOf(draft: string, text: string, sessionId: string, back = ''): string {
  const known = sendingOf(draft)
  const isSame = known?.text === text && known.sessionId === sessionId
  const key = isSame ? known.key : uniqueId()
  const waited = [known?.back, back].filter(Boolean).join('\n\n')
  put(draft, { key, text, sessionId, ...(waited ? { back: waited } : {}) })
  return key
}

/** It was taken or given up: what is sent next is another message. Gives back what waited for that. */
export function forgetName(draft: string): string | null {
  const known = sendingOf(draft)
  if (known) put(draft, null)
  return known?.back ?? null
}

/** Its name stands for something else. */
export function rename(draft: string): void {
  const known = sendingOf(draft)
  if (known) put(draft, { ...known, key: uniqueId() })
}
