import { expect, test } from 'vitest'
import { reduce } from '@/api/transcript/reduce'
import { fromSnapshot } from '@/api/transcript/snapshot'
import { Story } from '@/api/transcript/story'
import { isLive, lastOf } from './live-row'

test('a plan waits for a decision below a summary too, and nothing else is asked again there', () => {
  const story = new Story()
  story.user('plan it')
  story.assistant('', [], 'error')
  story.emit('plan_ready', {
    planId: 'p1',
    of: 'm2',
    source: 'json',
    summary: 's',
    todos: [{ id: '1', title: 'one' }],
  })
  story.end()
  story.emit('compaction_end', {
    reason: 'manual',
    summary: 'It was planned.',
    tokensBefore: 9,
    errorMessage: null,
  })
  const begun = fromSnapshot(story.messagesAt(0), story.stateAt(0))
  const { rows } = reduce(begun, story.events)
  const last = lastOf(rows)
  const live = rows.filter((row) => isLive(row, last)).map((row) => row.kind)
  expect(rows.at(-1)?.kind).toBe('summary')
  expect(live).toEqual(['plan', 'summary'])
})
