import { describe, expect, test } from 'vitest'
import type { AgentState, Question } from '../bridge-types'
import { todosIn } from './plan'
import { reduce } from './reduce'
import { fromSnapshot } from './snapshot'
import { Story } from './story'

const PLAN = { summary: 's', todos: [{ id: '1', title: 'one' }] }

const at = (story: Story, seq: number, state: Partial<AgentState> = {}) =>
  fromSnapshot(story.messagesAt(seq), { ...story.stateAt(seq), ...state })
const kinds = (story: Story, seq: number, state: Partial<AgentState> = {}) =>
  reduce(at(story, seq, state), story.events).rows.map((row) =>
    row.kind === 'plan' ? `plan:${row.plan.planId}:${row.state}` : row.kind,
  )
const last = (story: Story) => story.events.length

describe('a plan', () => {
  test('stands below the answer that it was read from, live and after a reload alike', () => {
    const story = new Story()
    story.user('plan it')
    story.assistant('This is the plan.')
    const ready = { planId: 'p1', of: 'm2', source: 'json' as const, ...PLAN }
    story.emit('plan_ready', ready)
    story.end()
    const wanted = ['user', 'text', 'plan:p1:proposed', 'tally']
    expect(kinds(story, 0)).toEqual(wanted)
    expect(kinds(story, last(story), { plan: ready, planState: 'proposed' })).toEqual(wanted)
    // Other words drop it, until a decision names it.
    story.user('something else')
    expect(kinds(story, 0)[2]).toBe('plan:p1:dropped')
    story.emit('plan_settled', { planId: 'p1', state: 'approved' })
    expect(kinds(story, 0)[2]).toBe('plan:p1:approved')
    expect(reduce(at(story, 0), story.events).todos).toEqual([
      { content: 'one', status: 'pending' },
    ])
  })

  test('that a person changed takes the place of the one before', () => {
    const story = new Story()
    story.user('plan it')
    story.assistant('This is the plan.')
    story.emit('plan_ready', { planId: 'p1', of: 'm2', source: 'json', ...PLAN })
    story.end()
    const edited = { planId: 'p2', of: 'p1', source: 'edited' as const, ...PLAN }
    story.emit('plan_ready', edited)
    story.user('Carry out this plan. It is approved.\n\n1. one')
    story.emit('plan_settled', { planId: 'p2', state: 'approved' })
    story.user('and then')
    expect(kinds(story, 0)).toEqual(['user', 'text', 'plan:p2:approved', 'tally', 'user', 'user'])
    expect(kinds(story, last(story), { plan: edited, planState: 'approved' })).toEqual(
      kinds(story, 0),
    )
  })
})

describe('a question about a call', () => {
  const question = (toolCallId: string): Question => ({
    question: 'May it?',
    options: ['Deny'],
    toolCallId,
    id: 'q1',
    kind: 'permission',
  })
  const asked = (story: Story, seq: number, state: Partial<AgentState> = {}) =>
    reduce(at(story, seq, state), story.events).rows.map((row) =>
      row.kind === 'tool' ? row.question?.id : null,
    )

  test('stands at its call until it is answered', () => {
    const story = new Story()
    story.user('push')
    const [call = ''] = story.assistant('', [['bash', { command: 'git push' }]])
    story.emit('tool_start', { toolCallId: call, toolName: 'bash', input: {} })
    story.emit('question', question(call))
    expect(asked(story, 0)).toEqual([null, 'q1'])
    expect(asked(story, last(story), { question: question(call) })).toEqual([null, 'q1'])
    story.emit('answered', { toolCallId: call, id: 'q1' })
    expect(asked(story, 0)[1]).toBeUndefined()
    expect(reduce(at(story, 0), story.events)).toMatchObject({ status: 'working', question: null })
  })

  test('stands at a call that is over, too', () => {
    const story = new Story()
    story.user('again')
    const [call = ''] = story.assistant('', [['bash', { command: 'npm test' }]])
    story.tool(call, 'bash', 'failed', true)
    const loop = { ...question(call), kind: 'loop' as const }
    story.emit('question', loop)
    expect(asked(story, 0)).toEqual([null, 'q1'])
    expect(asked(story, last(story), { question: loop })).toEqual([null, 'q1'])
  })
})

test('a task says where it does its work, also to who joins later', () => {
  const story = new Story()
  story.user('delegate')
  const [call = ''] = story.assistant('', [['task', { description: 'count' }]])
  story.emit('tool_start', { toolCallId: call, toolName: 'task', input: {}, childSession: 'c1' })
  for (const seq of [0, last(story)]) {
    const row = reduce(at(story, seq), story.events).rows.at(-1)
    expect(row, `from ${seq}`).toMatchObject({ kind: 'tool', child: 'c1' })
  }
})

test('only what is a step is read as one', () => {
  const step = { content: 'a', status: 'pending' }
  expect(todosIn({ items: [step, { content: 'b', status: 'odd' }, null, 'c'] })).toEqual([step])
  for (const details of [null, undefined, {}, { items: 'x' }]) expect(todosIn(details)).toBeNull()
})
