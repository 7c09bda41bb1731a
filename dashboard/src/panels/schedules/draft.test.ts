import { expect, test } from 'vitest'
import type { Schedule } from '@/api/machine-types'
import { draftOf, localField, momentOf, typedOf } from './draft'

const NOW = Date.parse('2026-11-21T10:20:00Z')
const schedule = (more: Partial<Schedule>): Schedule => ({
  id: 's1',
  name: 'Report',
  when: { cron: '30 7 * * 1-5', timezone: 'Europe/Berlin' },
  do: { prompt: 'Write the report', sessionId: null },
  catchUp: 'none',
  catchUpMax: 5,
  overlap: 'queue',
  enabled: true,
  timeoutMs: 3_600_000,
  nextAt: null,
  lastFiring: null,
  createdAt: 0,
  updatedAt: 0,
  ...more,
})

test('what is shown in the form is sent back unchanged', () => {
  const at = new Date(2026, 10, 22, 9, 30).getTime()
  for (const more of [
    {},
    { when: { everyS: 5400 } },
    { when: { everyS: 7200 } },
    { when: { everyS: 45 } },
    { when: { cron: '@daily', timezone: 'UTC' } },
    { when: { at } },
    { do: { command: 'make backup' } },
    { catchUp: 'all' as const, overlap: 'cancel' as const },
    { overlap: 'allow' as const },
    { do: { prompt: 'Go on', sessionId: 'abc' } },
  ]) {
    const one = schedule(more)
    const { draft, faults } = draftOf(typedOf(one, NOW), NOW)
    expect(faults).toEqual({})
    const work = 'prompt' in one.do && !one.do.sessionId ? { prompt: one.do.prompt } : one.do
    expect(draft).toEqual({
      name: one.name,
      when: one.when,
      do: work,
      catchUp: one.catchUp,
      catchUpMax: 5,
      overlap: one.overlap,
    })
  }
})

test('what is wrong is said at its field, and nothing is sent', () => {
  const typed = { ...typedOf(null, NOW), name: 'x', text: 'y' }
  const faults = (more: Partial<typeof typed>) => {
    const read = draftOf({ ...typed, ...more }, NOW)
    expect(read.draft).toBeNull()
    return Object.keys(read.faults)
  }
  expect(faults({ name: ' ' })).toEqual(['name'])
  expect(faults({ text: '' })).toEqual(['text'])
  expect(faults({ cron: '61 * * * *' })).toEqual(['when'])
  expect(faults({ cron: '0 0 30 2 *' })).toEqual(['when'])
  expect(faults({ zone: 'Middle/Earth' })).toEqual(['zone'])
  expect(faults({ kind: 'every', every: '0', unit: 'minutes' })).toEqual(['when'])
  expect(faults({ kind: 'once', at: localField(NOW - 60_000) })).toEqual(['when'])
  expect(faults({ kind: 'once', at: '' })).toEqual(['when'])
  for (const catchUpMax of ['0', '101', '1.5', 'x', ''])
    expect(faults({ catchUp: 'all', catchUpMax })).toEqual(['catchUpMax'])
})

test('a new one begins with something that could be sent, but for its words', () => {
  expect(Object.keys(draftOf(typedOf(null, NOW), NOW).faults)).toEqual(['name', 'text'])
})

test('a time that the clocks skip in spring is the moment at which they do', () => {
  const zone = process.env['TZ']
  process.env['TZ'] = 'Europe/Berlin'
  try {
    const of = (field: string) => new Date(momentOf(field)).toISOString()
    expect(of('2026-03-29T01:59')).toBe('2026-03-29T00:59:00.000Z')
    expect(of('2026-03-29T02:00')).toBe('2026-03-29T01:00:00.000Z')
    expect(of('2026-03-29T02:30')).toBe('2026-03-29T01:00:00.000Z')
    expect(of('2026-03-29T03:00')).toBe('2026-03-29T01:00:00.000Z')
    expect(of('2026-03-29T03:30')).toBe('2026-03-29T01:30:00.000Z')
    expect(of('2026-10-25T02:30')).toBe('2026-10-25T00:30:00.000Z')
    expect(momentOf('')).toBeNaN()
  } finally {
    if (zone === undefined) delete process.env['TZ']
    else process.env['TZ'] = zone
  }
})
