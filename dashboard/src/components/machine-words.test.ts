import { expect, test } from 'vitest'
import type { LimitHit } from '@/api/events'
import { limitWords } from './machine-words'

const hit = (more: Partial<LimitHit>): LimitHit => ({
  kind: 'memory',
  command: null,
  pid: null,
  peak: null,
  limit: null,
  message: '',
  ...more,
})

test('a reached limit is told with its peak, as far as it is known', () => {
  expect(limitWords(hit({ peak: 2 ** 32, limit: 2 ** 32 }))).toEqual({
    title: 'Out of memory',
    use: '4.0 GiB of 4.0 GiB',
  })
  expect(limitWords(hit({ kind: 'pids', peak: 4096, limit: 4096 })).use).toBe('4,096 of 4,096')
  expect(limitWords(hit({ kind: 'disk', limit: 2 ** 30 })).use).toBe('the limit is 1.0 GiB')
  expect(limitWords(hit({ kind: 'disk' }))).toEqual({ title: 'The disk is full', use: null })
})
