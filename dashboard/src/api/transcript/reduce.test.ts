import { describe, expect, test } from 'vitest'
import type { BridgeEvent } from '../events'
import { reduce } from './reduce'
import { fromSnapshot } from './snapshot'
import { Story } from './story'
import type { Row, ToolRow, Transcript } from './types'

/** A conversation with everything in it: text, tools, a failure, steering, a follow-up. */
function busyDay(): Story {
  const story = new Story()
  story.user('build it')
  const [write, run] = story.assistant('I will write it first.', [
    ['write', { path: 'a.txt', content: 'x' }],
    ['bash', { command: 'cat a.txt' }],
  ])
  story.tool(write ?? '', 'write', 'Wrote a.txt')
  story.tool(run ?? '', 'bash', 'No such file', true)
  story.user('steer: use b.txt')
  const [edit] = story.assistant('', [['edit', { path: 'b.txt' }]])
  story.tool(edit ?? '', 'edit', 'Edited')
  story.assistant('Done as asked.')
  story.end()
  story.user('again')
  story.assistant('Nothing to do.')
  story.end()
  return story
}

const open = (story: Story, seq: number): Transcript =>
  fromSnapshot(story.messagesAt(seq), story.stateAt(seq))

/** What a person sees, without what only one of the two ways can know. */
function seen(rows: readonly Row[]): unknown[] {
  return rows.map((row) => {
    switch (row.kind) {
      case 'tally':
        return { kind: row.kind }
      case 'tool': {
        const { name, input, state, result } = row
        return { kind: row.kind, name, input, state, result }
      }
      case 'text':
      case 'thinking':
        return { kind: row.kind, text: row.text, streaming: row.streaming }
      default:
        return { ...row, id: '', messageId: '' }
    }
  })
}

/** `tool_start` says `{}` in the story: what counts is the call's own arguments, so both ways end there. */
const wholeRun = (story: Story) => reduce(open(story, 0), story.events)

describe('a transcript', () => {
  test('is the same from wherever one joins, nothing lost and nothing twice', () => {
    const story = busyDay()
    const whole = seen(wholeRun(story).rows).map(forget)
    for (let cut = 0; cut <= story.events.length; cut++) {
      // The stream brings some events again that the snapshot holds already.
      const again = story.events.slice(Math.max(0, cut - 7))
      const snapshot = open(story, cut)
      const joined = reduce(
        snapshot,
        [...story.events.slice(snapshot.seq, cut), ...again].toSorted((a, b) => a.seq - b.seq),
      )
      expect(seen(joined.rows).map(forget), `joined at event ${cut}`).toEqual(whole)
      expect(joined.seq).toBe(story.events.length)
      expect(joined.status).toBe('idle')
    }
  })

  test('does not change when everything comes a second time', () => {
    const story = busyDay()
    const once = wholeRun(story)
    expect(reduce(once, story.events)).toBe(once)
    expect(reduce(once, story.events.toReversed())).toBe(once)
  })

  test('is the same event by event as in one batch', () => {
    const story = busyDay()
    let one = open(story, 0)
    for (const event of story.events) one = reduce(one, [event])
    expect(one).toEqual(wholeRun(story))
  })

  test('takes no event of another conversation', () => {
    const story = new Story()
    story.user('mine')
    story.emit('tool_start', { toolCallId: 'x', toolName: 'bash', input: {} }, 'other')
    expect(wholeRun(story).rows.map((row) => row.kind)).toEqual(['user'])
  })

  test('replaces what was shown of a message that is asked again', () => {
    const story = new Story()
    story.user('hello')
    const messageId = 'half'
    story.emit('message_start', { messageId, role: 'assistant' })
    const text = { messageId, type: 'text_delta', contentIndex: 0 } as const
    story.emit('message_update', { ...text, delta: 'void' })
    expect(wholeRun(story).rows.at(-1)).toMatchObject({ kind: 'text', text: 'void' })
    story.emit('message_restarted', { messageId, reason: 'gateway gone' })
    expect(wholeRun(story).rows.at(-1)).toMatchObject({ kind: 'note' })
    story.emit('message_start', { messageId, role: 'assistant' })
    story.emit('message_update', { ...text, delta: 'whole' })
    const { rows } = wholeRun(story)
    expect(rows.map((row) => row.kind)).toEqual(['user', 'text'])
    expect(rows[1]).toMatchObject({ text: 'whole' })
  })

  test('shows the rest of a message whose beginning it missed, then all of it', () => {
    const story = new Story()
    story.user('hello')
    story.assistant('one two three four')
    const late = story.events.filter((event) => event.seq > 5)
    const joined = reduce({ ...open(story, 0), seq: 5 }, late)
    expect(joined.rows.at(-1)).toMatchObject({ kind: 'text', text: 'one two three four' })
  })

  test('keeps the end of long live output, and drops it for the result', () => {
    const story = new Story()
    story.user('run')
    const [id = ''] = story.assistant('', [['bash', { command: 'yes' }]])
    const delta = 'y\n'.repeat(20_000)
    for (let i = 0; i < 5; i++)
      story.emit('tool_update', { toolCallId: id, toolName: 'bash', delta })
    const tool = wholeRun(story).rows.at(-1) as ToolRow
    expect(tool.output.length).toBeLessThanOrEqual(64 * 1024)
    story.tool(id, 'bash', 'y')
    expect(wholeRun(story).rows.at(-1)).toMatchObject({ output: '', state: 'done' })
  })

  test('leaves no tool running when the agent was stopped', () => {
    const story = new Story()
    story.user('run')
    const [id = ''] = story.assistant('', [['bash', { command: 'sleep 9' }]])
    story.emit('tool_start', { toolCallId: id, toolName: 'bash', input: {} })
    story.end('aborted')
    const states = wholeRun(story).rows.flatMap((row) => (row.kind === 'tool' ? row.state : []))
    expect(states).toEqual(['cut'])
    // Read anew, the same is told.
    const anew = open(story, story.events.length).rows
    expect(anew.flatMap((row) => (row.kind === 'tool' ? row.state : []))).toEqual(['cut'])
  })

  test('holds an open question until it is answered', () => {
    const story = new Story()
    story.user('ask me')
    const [id = ''] = story.assistant('', [['ask', { question: 'Which?' }]])
    story.emit('tool_start', { toolCallId: id, toolName: 'ask', input: { question: 'Which?' } })
    const question = { question: 'Which?', options: ['a', 'b'], toolCallId: id }
    story.emit('question', question)
    const asked = wholeRun(story)
    expect(asked.status).toBe('waiting')
    expect(asked.rows.at(-1)).toMatchObject({ question })
    story.tool(id, 'ask', 'b')
    const answered = wholeRun(story)
    expect(answered.status).toBe('working')
    expect(answered.question).toBeNull()
  })

  test('takes times that were measured from the events of before it was opened', () => {
    const story = busyDay()
    const before = open(story, story.events.length)
    const tallies = (of: Transcript) =>
      of.rows.flatMap((row) => (row.kind === 'tally' ? [row.tally] : []))
    expect(tallies(before).map((each) => each.about)).toEqual([true, true])
    const after = reduce(before, story.events)
    expect(tallies(after)).toMatchObject([
      { about: false, durationMs: 50 },
      { about: false, durationMs: 50 },
    ])
    const times = after.rows.flatMap((row) => (row.kind === 'tool' ? [row.durationMs] : []))
    expect(times).toEqual([12, 12, 12])
    // Only a part of the history: the tallies that it tells of, and no other.
    const second = reduce(before, story.events.slice(-5))
    expect(tallies(second).map((each) => each.about)).toEqual([true, false])
    expect(reduce(after, story.events)).toBe(after)
  })

  test('puts the measured tally where the estimated one was', () => {
    const story = busyDay()
    const before = open(story, story.events.length - 1)
    expect(before.rows.at(-1)).toMatchObject({ kind: 'tally', tally: { about: true } })
    const after = reduce(before, story.events.slice(-1))
    expect(after.rows.filter((row) => row.kind === 'tally')).toHaveLength(2)
    expect(after.rows.at(-1)).toMatchObject({ tally: { about: false, durationMs: 50 } })
  })

  test('says of what the scripted model did that it was the demo', () => {
    const story = new Story()
    story.demo = true
    story.user('hello')
    story.assistant('hi')
    story.end()
    const kinds = ['user', 'demo', 'text', 'tally']
    expect(wholeRun(story).rows.map((row) => row.kind)).toEqual(kinds)
    expect(open(story, story.events.length).rows.map((row) => row.kind)).toEqual(kinds)
  })
})

describe('a snapshot', () => {
  test('sums up finished prompts from their messages', () => {
    const { rows } = open(busyDay(), busyDay().events.length)
    const tallies = rows.flatMap((row) => (row.kind === 'tally' ? row.tally : []))
    expect(tallies).toHaveLength(2)
    expect(tallies[0]).toMatchObject({
      turns: 3,
      tools: 3,
      changed: ['a.txt', 'b.txt'],
      usage: { totalTokens: 45, cost: { total: 0.75 } },
      about: true,
    })
  })

  test('gives an answer that was asked again a tally of its own', () => {
    const story = new Story()
    story.user('hello')
    story.assistant('', [], 'error')
    story.end('error')
    story.assistant('This time it went well.')
    story.end()
    const kinds = ['user', 'error', 'tally', 'text', 'tally']
    expect(open(story, story.events.length).rows.map((row) => row.kind)).toEqual(kinds)
    expect(wholeRun(story).rows.map((row) => row.kind)).toEqual(kinds)
  })

  test('shows a failed model call in the words of the provider', () => {
    const story = new Story()
    story.user('hello')
    story.assistant('', [], 'error')
    story.end('error')
    expect(open(story, story.events.length).rows[1]).toMatchObject({
      kind: 'error',
      text: '401 invalid x-api-key',
      aborted: false,
    })
  })
})

function longDay(turns: number): Story {
  const story = new Story()
  for (let i = 0; i < turns; i++) {
    story.user(`step ${i}`)
    const [id = ''] = story.assistant(`Looking at module ${i} and its friends.`, [
      ['bash', { command: `cat ${i}` }],
    ])
    story.tool(id, 'bash', 'line\n'.repeat(20))
    story.assistant('Tidy.')
    story.end()
  }
  return story
}

describe('a long session', () => {
  test('of 5,000 events changes one row per delta and no other', () => {
    const story = longDay(220)
    expect(story.events.length).toBeGreaterThan(5000)
    let transcript = open(story, 0)
    let redrawn = 0
    for (const event of story.events) {
      const next = reduce(transcript, [event])
      if (isDelta(event)) {
        const changed = next.rows.filter((row, at) => row !== transcript.rows[at]).length
        expect(changed).toBeLessThanOrEqual(1)
        redrawn += changed
      }
      transcript = next
    }
    const deltas = story.events.filter(isDelta).length
    expect(redrawn).toBeLessThanOrEqual(deltas)
    expect(transcript.rows).toHaveLength(220 * 5)
  })
})

function isDelta(event: BridgeEvent): boolean {
  return event.kind === 'message_update'
}

/** The story's `tool_start` carries no arguments; rows that came that way have none to compare. */
function forget(row: unknown): unknown {
  return { ...(row as object), input: null }
}
