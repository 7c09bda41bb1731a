import { describe, expect, test } from 'vitest'
import { reduce } from './reduce'
import { fromSnapshot } from './snapshot'
import { Story } from './story'

describe('going back', () => {
  const restored = (story: Story, sessions: string[]) =>
    story.emit(
      'restored',
      {
        checkpointId: 'cp1',
        label: 'before the rewrite',
        takenAt: 5,
        sessions: sessions.map((sessionId) => ({
          sessionId,
          fromEntryId: 'm9',
          toEntryId: 'm2',
        })),
      },
      null,
    )
  const shape = (story: Story, seq: number) =>
    reduce(fromSnapshot(story.messagesAt(seq), story.stateAt(seq)), story.events).rows.map((row) =>
      row.kind === 'marker' ? `marker:${row.what.kind}` : row.kind,
    )

  test('is marked where it happened, live and after a reload alike', () => {
    const story = new Story()
    story.user('one')
    story.assistant('first answer')
    story.end()
    restored(story, [story.session])
    story.user('two')
    story.assistant('second answer')
    story.end()
    const wanted = ['user', 'text', 'tally', 'marker:restored', 'user', 'text', 'tally']
    for (let seq = 0; seq <= story.events.length; seq += 1) {
      expect(shape(story, seq), `from ${seq}`).toEqual(wanted)
    }
  })

  test('tells whether the conversation moved with the files', () => {
    const story = new Story()
    story.user('one')
    restored(story, ['another'])
    const { rows } = reduce(fromSnapshot(story.messagesAt(1), story.stateAt(1)), story.events)
    expect(rows.at(-1)).toMatchObject({
      kind: 'marker',
      what: { moved: false, label: 'before the rewrite' },
    })
  })

  test('has no place in a conversation that began later', () => {
    const story = new Story()
    restored(story, ['another'])
    story.emit('forked', { from: 'p1', seq: 3, checkpointId: null }, null)
    story.user('one')
    expect(shape(story, story.events.length)).toEqual(['user'])
  })

  test('is told by the conversation itself when its event is long past', () => {
    const story = new Story()
    story.user('one')
    story.assistant('first answer')
    story.end()
    const told = story.events.length
    story.user('two')
    const all = story.messagesAt(story.events.length)
    const restores = [
      { afterEntryId: 'm2', checkpointId: 'cp1', label: null, takenAt: 5, at: told * 10 + 1 },
    ]
    const rows = (recent: typeof story.events) =>
      reduce(
        fromSnapshot({ ...all, restores }, story.stateAt(story.events.length)),
        recent,
      ).rows.map((row) => row.kind)
    const wanted = ['user', 'text', 'tally', 'marker', 'user']
    expect(rows([])).toEqual(wanted)
    // Its event is still there: the same moment is not told twice.
    restored(story, [story.session])
    expect(rows(story.events)).toEqual(wanted)
  })
})
