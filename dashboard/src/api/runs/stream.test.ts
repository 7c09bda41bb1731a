import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { EventStream } from '../live/stream'
import type { RunEvent } from './events'
import { RunStream } from './stream'

/** What the server was asked with, in order. */
let asked: { url: string; last: string | undefined }[] = []

/** A server that answers with one of these after the other, and with nothing after the last. */
function serves(answers: readonly (string | number)[]): void {
  vi.stubGlobal('fetch', (url: string, { headers }: { headers: Record<string, string> }) => {
    const answer = answers[asked.length]
    asked.push({ url, last: headers['last-event-id'] })
    if (answer === undefined) return new Promise(() => {})
    return Promise.resolve(
      typeof answer === 'number' ? new Response(null, { status: answer }) : new Response(answer),
    )
  })
}

beforeEach(() => {
  asked = []
  vi.useFakeTimers()
  vi.stubGlobal('addEventListener', () => {})
  vi.stubGlobal('removeEventListener', () => {})
  vi.stubGlobal('document', {
    hidden: true,
    addEventListener: () => {},
    removeEventListener: () => {},
  })
  vi.stubGlobal('cancelAnimationFrame', () => {})
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

const frame = (id: number, event: string, data: object) =>
  `event: ${event}\nid: ${id}\ndata: ${JSON.stringify({ id, event, data, ts: '2026-11-21T14:00:00Z' })}\n\n`
const token = (id: number) => frame(id, 'token', { token: `${id}` })

function followed(after: number) {
  const seen: number[] = []
  const anew = vi.fn()
  const stream = new RunStream({
    url: '/run',
    after,
    onEvents: (events: RunEvent[]) => seen.push(...events.map(({ seq }) => seq)),
    onConnection: () => {},
    onAnew: anew,
  })
  return { seen, anew, stream }
}

test('a run is followed over a break to its last event, and no further', async () => {
  serves([
    `retry: 1000\n\n${token(1)}${token(2)}event: ping\nid: 2\ndata: {"ts":""}\n\n`,
    `${token(2)}${token(3)}${frame(4, 'done', { durationMs: 1 })}`,
  ])
  const { seen } = followed(0)
  await vi.advanceTimersByTimeAsync(60_000)
  expect(seen).toEqual([1, 2, 3, 4])
  expect(asked).toEqual([
    { url: '/run', last: undefined },
    { url: '/run', last: '2' },
  ])
})

test('who has seen something goes on behind it', async () => {
  serves([`${token(8)}`])
  const { seen, stream } = followed(7)
  await vi.advanceTimersByTimeAsync(1)
  expect(asked).toEqual([{ url: '/run', last: '7' }])
  stream.close()
  await vi.advanceTimersByTimeAsync(60_000)
  expect(asked).toHaveLength(1)
  // What was not handed on yet comes again, to who opens it again.
  expect(seen).toEqual([])
})

test('a number that the server does not know begins anew', async () => {
  serves([400, token(1)])
  const { seen, anew } = followed(7)
  await vi.advanceTimersByTimeAsync(1000)
  expect(anew).toHaveBeenCalledOnce()
  expect(asked.map(({ last }) => last)).toEqual(['7', undefined, '1'])
  expect(seen).toEqual([1])
})

test('a run that is gone is not asked for again', async () => {
  serves([404])
  followed(0)
  await vi.advanceTimersByTimeAsync(60_000)
  expect(asked).toHaveLength(1)
})

test('the stream of a project goes on behind what it has', async () => {
  const event = (seq: number) =>
    `event: bridge_started\nid: ${seq}\ndata: {"version":"1","ts":5}\n\n`
  serves([`event: hello\ndata: {"seq":3}\n\n${event(4)}`, `${event(4)}${event(5)}`])
  const begin = vi.fn()
  const seen: number[] = []
  const stream = new EventStream(null, {
    url: (after) => `/events?after=${after}`,
    onBegin: begin,
    onEvents: (events) => seen.push(...events.map(({ seq }) => seq)),
    onConnection: () => {},
  })
  await vi.advanceTimersByTimeAsync(1000)
  expect(begin).toHaveBeenCalledExactlyOnceWith(3)
  expect(seen).toEqual([4, 5])
  expect(stream.seq).toBe(5)
  stream.restart(1)
  stream.close()
  expect(asked.slice(0, 2).map(({ url }) => url)).toEqual(['/events?after=null', '/events?after=4'])
  expect(asked.at(-1)?.url).toBe('/events?after=1')
})
