import { expect, test } from 'vitest'
import { ApiError } from '@/api/http'
import { wordsOfFailure } from './failure-words'

test('a message of which nobody knows is told so, and everything else in its own words', () => {
  const check = (code: string, unknown: boolean) => {
    const words = wordsOfFailure(new ApiError(code, 'The server’s words.', 502))
    expect(words.includes('not known whether')).toBe(unknown)
    expect(words === 'The server’s words.').toBe(!unknown)
  }
  check('outcome_unknown', true)
  check('timeout', true)
  check('machine_error', false)
  check('offline', false)
})
