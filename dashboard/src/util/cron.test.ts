import { describe, expect, test } from 'vitest'
import { cronWords, isForeign, isZone, nextTimes, parseCron, type Cron } from './cron'

const cron = (line: string): Cron => {
  const parsed = parseCron(line)
  if ('error' in parsed) throw new Error(parsed.error)
  return parsed
}
const next = (line: string, zone: string, after: string, count = 3) =>
  nextTimes(cron(line), zone, Date.parse(after), count).map((at) => new Date(at).toISOString())

describe('a cron line', () => {
  test.each([
    ['* * * *', 'Five fields'],
    ['60 * * * *', 'minute'],
    ['* 24 * * *', 'hour'],
    ['* * 0 * *', 'day of the month'],
    ['* * * foo *', 'month'],
    ['* * * * 8', 'day of the week'],
    ['5-1 * * * *', 'minute'],
    ['*/0 * * * *', 'minute'],
  ])('%s is refused, and what is wrong is said', (line, words) => {
    expect(parseCron(line)).toEqual({ error: expect.stringContaining(words) })
  })

  test.each([
    ['* * * * *', 'every minute, every day'],
    ['*/15 * * * *', 'every 15 minutes, every day'],
    ['0 * * * *', 'every hour at :00, every day'],
    ['30 7 * * mon-fri', 'at 07:30, Monday to Friday'],
    ['0 9,17 * * *', 'at 09:00 and 17:00, every day'],
    ['0 3 1 * *', 'at 03:00, on day 1 of the month'],
    ['0 3 1 * 7', 'at 03:00, on day 1 of the month or Sunday'],
    ['0 0 * jan,jul *', 'at 00:00, every day, in January and July'],
    ['*/10 8-10 * * *', 'every 10 minutes, in the hours 08, 09 and 10, every day'],
  ])('%s reads: %s', (line, words) => {
    expect(cronWords(cron(line))).toBe(words)
  })
})

describe('the next times', () => {
  test('are those of the zone, not of here', () => {
    expect(next('30 7 * * 1-5', 'Europe/Berlin', '2026-11-20T12:00:00Z')).toEqual([
      '2026-11-23T06:30:00.000Z',
      '2026-11-24T06:30:00.000Z',
      '2026-11-25T06:30:00.000Z',
    ])
  })

  test('move with summer time: right after the jump for a time that is left out', () => {
    expect(next('30 2 * * *', 'Europe/Berlin', '2027-03-27T00:00:00Z')).toEqual([
      '2027-03-27T01:30:00.000Z',
      '2027-03-28T01:00:00.000Z',
      '2027-03-29T00:30:00.000Z',
    ])
  })

  test('are the first of two when clocks are set back', () => {
    expect(next('30 2 * * *', 'Europe/Berlin', '2027-10-31T00:00:00Z', 2)).toEqual([
      '2027-10-31T00:30:00.000Z',
      '2027-11-01T01:30:00.000Z',
    ])
  })

  test('take either of two day fields, when both say something', () => {
    expect(next('0 0 13 * 5', 'UTC', '2026-11-12T00:00:00Z', 2)).toEqual([
      '2026-11-13T00:00:00.000Z',
      '2026-11-20T00:00:00.000Z',
    ])
  })

  test('are none for a day that never comes', () => {
    expect(next('0 0 30 2 *', 'UTC', '2026-11-12T00:00:00Z')).toEqual([])
  })

  test('step on from a number to the end', () => {
    expect(next('50/5 23 31 12 *', 'UTC', '2026-12-31T23:51:00Z', 2)).toEqual([
      '2026-12-31T23:55:00.000Z',
      '2027-12-31T23:50:00.000Z',
    ])
  })
})

test('what only the server reads is told from what is wrong', () => {
  const lines = ['@daily', '0 9 L * *', '0 9 15W * *', '0 9 * * 5L', '0 9 * * 1#2', '0 9 ? * 1']
  expect(lines.map(isForeign)).toEqual(lines.map(() => true))
  expect(['0 9 * jul wed', '61 * * * *', 'every day'].map(isForeign)).toEqual([false, false, false])
})

test('a zone is told from a word', () => {
  expect([isZone('Europe/Berlin'), isZone('UTC'), isZone('Middle/Earth')]).toEqual([
    true,
    true,
    false,
  ])
})
