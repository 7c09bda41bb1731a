// What a person reads when what they did in a chat came to nothing, or perhaps not.
import { ApiError, wordsOf } from '@/api/http'

/** Codes after which a message may have been taken all the same. */
const UNKNOWN = new Set(['outcome_unknown', 'timeout'])

export function wordsOfFailure(cause: unknown): string {
  if (cause instanceof ApiError && UNKNOWN.has(cause.code)) {
    return 'No answer came in time: it is not known whether your message arrived. Send it again: one that did arrive is not said twice.'
  }
  return wordsOf(cause)
}
