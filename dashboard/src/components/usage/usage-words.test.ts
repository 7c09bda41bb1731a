import { expect, test } from 'vitest'
import type { UsageFigures, UsageRow } from '@/api/usage'
import { callWords, costWords, daysFrom, firstDay, rowName, tokenWords } from './usage-words'

const none: UsageFigures = {
  calls: 0,
  failed: 0,
  input: 0,
  output: 0,
  cacheRead: 0,
  cacheWrite: 0,
  costUsd: 0,
  unpriced: 0,
}

test('money is never invented', () => {
  expect(costWords(none)).toBe('US$ 0')
  expect(costWords({ ...none, calls: 2, costUsd: 1.2 })).toBe('US$ 1.20')
  expect(costWords({ ...none, calls: 2, costUsd: 1.2, unpriced: 1 })).toBe('US$ 1.20 and more')
  expect(costWords({ ...none, calls: 2, costUsd: null, unpriced: 2 })).toBe('not known')
})

test('calls and tokens are told with what matters of them', () => {
  expect(callWords({ ...none, calls: 1 })).toBe('1 call')
  expect(callWords({ ...none, calls: 5, failed: 2 })).toBe('5 calls, 2 failed')
  expect(tokenWords({ ...none, input: 1200, output: 7 })).toBe('1.2k in, 7 out')
  expect(tokenWords({ ...none, input: 1, cacheRead: 2, cacheWrite: 3, output: 7 })).toBe(
    '1 in, 5 cached, 7 out',
  )
})

test('every row says what it stands for', () => {
  const row = (rest: Partial<UsageRow>): UsageRow => ({ ...none, key: null, ...rest })
  expect(rowName('project', row({}))).toBe('Programs outside')
  expect(rowName('project', row({ key: 'abc', name: 'Shop' }))).toBe('Shop')
  expect(rowName('run', row({}))).toBe('Other programs')
  expect(rowName('run', row({ key: 'a1', name: null }))).toBe('a1')
  expect(rowName('model', row({ provider: 'openai' }))).toBe('openai, model unknown')
})

test('a span has its days, in UTC', () => {
  const now = Date.UTC(2026, 2, 2, 0, 30)
  expect(firstDay(7, now)).toBe('2026-02-24')
  expect(daysFrom('2026-02-27', '2026-03-02')).toEqual([
    '2026-02-27',
    '2026-02-28',
    '2026-03-01',
    '2026-03-02',
  ])
})
