import { expect, test } from 'vitest'
import type { Change } from '@/api/machine-types'
import { backWords, checkpointName, ruleWords } from './checkpoint-words'

const change = (kind: Change['kind']): Change => ({
  path: '/a',
  kind,
  sizeBefore: null,
  sizeAfter: null,
})

test('going back is told from where the files are now', () => {
  expect(backWords([change('added'), change('removed'), change('modified')], false)).toBe(
    '1 path as it was, 1 goes away, 1 comes back.',
  )
  expect(backWords([change('added'), change('added')], true)).toBe('More than 2 go away.')
  expect(backWords([], false)).toBe('No file differs.')
})

test('the rule is a sentence', () => {
  expect(ruleWords({ last: 50, hourly: 24, daily: 14 }, true)).toContain(
    'Kept are the last 50, one an hour for 24 hours and one a day for 14 days;',
  )
  expect(ruleWords({ last: 1, hourly: 0, daily: 0 }, true)).toContain('Kept is the last one;')
  expect(ruleWords({ last: 0, hourly: 0, daily: 0 }, true)).toContain('None of them is kept;')
  expect(ruleWords({ last: 9, hourly: 0, daily: 0 }, false)).toContain('None is taken by itself')
})

test('a checkpoint is named by its label, else by its time', () => {
  const at = new Date(2026, 10, 21, 14, 3).getTime()
  const name = (label: string | null, now: Date) =>
    checkpointName({ label, createdAt: at }, now.getTime())
  expect(name('before', new Date(2026, 10, 21))).toBe('“before”')
  expect(name(null, new Date(2026, 10, 21, 20))).toBe('14:03')
  expect(name(null, new Date(2026, 10, 25))).toMatch(/21.*14:03/)
})
