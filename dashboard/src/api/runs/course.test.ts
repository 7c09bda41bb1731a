import { expect, test } from 'vitest'
import { follow, NO_COURSE, type Course, type CourseRow } from './course'
import { runEventOf, type RunEvent } from './events'

/** Events as the server sends them, numbered from 1. */
function events(...told: readonly (readonly [string, object])[]): RunEvent[] {
  return told.map(([kind, data], at) => {
    const id = String(at + 1)
    const frame = { id: at + 1, event: kind, data, ts: '2026-11-21T14:00:00Z' }
    const event = runEventOf({ event: kind, id, data: JSON.stringify(frame) })
    if (!event) throw new Error(`no event: ${kind}`)
    return event
  })
}

const token = (words: string) => ['token', { token: words }] as const
const status = (name: string, more = {}) => ['status', { status: name, ...more }] as const
const tool = (phase: string, more = {}) =>
  ['tool', { phase, runPhase: 'build', tool: 'bash', runId: 'c1', ...more }] as const

/** Rows in short. */
const shown = ({ rows }: Course) =>
  rows.map((row: CourseRow) => {
    if (row.kind === 'moment') return row.what.kind === 'status' ? row.what.status : row.what.kind
    return row.kind === 'tool' ? `${row.name} ${row.state}` : row.text
  })

test('tokens become one text, until something else happens', () => {
  const course = follow(
    NO_COURSE,
    events(token('I '), token('look.'), tool('start', { input: {} }), token('Seen.')),
  )
  expect(shown(course)).toEqual(['I look.', 'bash running', 'Seen.'])
  expect(course.rows.map((row) => row.kind === 'text' && row.streaming)).toEqual([
    false,
    false,
    true,
  ])
})

test('it is the same course wherever the events are cut, and whatever comes twice', () => {
  const all = events(
    status('running', { attempt: 1 }),
    token('a'),
    token('b'),
    tool('start', { input: { command: 'make' } }),
    tool('stream', { chunk: 'one\n' }),
    tool('end', { output: 'one\ntwo', durationMs: 20 }),
    token('c'),
    ['file_op', { op: 'edit', path: 'a.ts', phase: 'build' }],
    ['done', { output: 'c', usage: null, durationMs: 40 }],
  )
  const whole = follow(NO_COURSE, all)
  for (let cut = 0; cut <= all.length; cut++) {
    expect(follow(follow(NO_COURSE, all.slice(0, cut)), all)).toEqual(whole)
  }
  expect(whole.isOver).toBe(true)
  expect(follow(whole, all)).toBe(whole)
})

test('a call keeps what it was given and shows what came of it', () => {
  const course = follow(
    NO_COURSE,
    events(
      tool('start', { input: { command: 'make' } }),
      tool('stream', { chunk: 'half' }),
      tool('error', { error: 'exit 2', durationMs: 12 }),
    ),
  )
  expect(course.rows).toMatchObject([
    {
      input: { command: 'make' },
      state: 'failed',
      output: '',
      result: [{ type: 'text', text: 'exit 2' }],
      durationMs: 12,
    },
  ])
})

test('the pieces of an answer that broke off are void', () => {
  const course = follow(
    NO_COURSE,
    events(token('Half of'), status('message_restarted', { reason: 'cut' }), token('All of it.')),
  )
  expect(shown(course)).toEqual(['message_restarted', 'All of it.'])
})

test('a plan stands for the words that it was read from', () => {
  const todos = [{ id: '1', title: 'Look', acceptanceCriteria: [] }]
  const course = follow(
    NO_COURSE,
    events(
      token('```json {} ```'),
      status('model_resolved', { provider: 'p', model: 'm' }),
      status('plan_ready', { summary: 'Sum', todos, planId: 'x' }),
    ),
  )
  expect(course.plan).toEqual({ summary: 'Sum', todos })
  expect(course.rows[0]).toMatchObject({ kind: 'text', planned: true, streaming: false })
})

test('files are told once, with what was done to them', () => {
  const op = (verb: string, path: string | null) => ['file_op', { op: verb, path }] as const
  const course = follow(
    NO_COURSE,
    events(op('read', 'a'), op('edit', 'a'), op('edit', 'a'), op('ls', null)),
  )
  expect([...course.files]).toEqual([
    ['a', { read: 1, edit: 2 }],
    ['', { ls: 1 }],
  ])
  expect(NO_COURSE.files.size).toBe(0)
})

test('nothing grows without end', () => {
  const flood = Array.from({ length: 2500 }, (_, at) => status('retrying', { nextAttempt: at }))
  const course = follow(NO_COURSE, events(...flood))
  expect(course.rows).toHaveLength(2000)
  expect(course.left).toBe(500)

  const long = follow(
    NO_COURSE,
    events(
      token('x'.repeat(150_000)),
      token('end'),
      tool('start', { input: { content: 'y'.repeat(50_000), deep: ['z'.repeat(50_000)] } }),
      tool('stream', { chunk: 'o'.repeat(200_000) }),
    ),
  )
  expect(JSON.stringify(long.rows).length).toBeLessThan(220_000)
  expect(shown(long)[0]?.endsWith('end')).toBe(true)
})

test('the end of a run ends what it had under way', () => {
  for (const last of [
    status('cancelled'),
    ['error', { error: 'no', attempts: 3, maxAttempts: 3 }] as const,
  ]) {
    const course = follow(NO_COURSE, events(tool('start', { input: {} }), last))
    expect(shown(course)[0]).toBe('bash cut')
    expect(course.isOver).toBe(true)
  }
  const again = follow(
    NO_COURSE,
    events(status('attempt_failed', { error: 'no', attempts: 1, maxAttempts: 3 })),
  )
  expect(again.isOver).toBe(false)
})

test.each([
  ['a ping', { event: 'ping', id: '4', data: '{"ts":"2026-11-21T14:00:00Z"}' }],
  ['one without a number', { event: 'token', id: '', data: '{"data":{"token":"a"}}' }],
  ['no JSON', { event: 'token', id: '4', data: '{"da' }],
  ['no data', { event: 'token', id: '4', data: '{"id":4}' }],
])('%s is no event of a run', (_, frame) => {
  expect(runEventOf(frame)).toBe(null)
})
