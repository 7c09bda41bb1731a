import { expect, test, vi } from 'vitest'
import type { AgentState } from '../bridge-types'
import { Story } from '../transcript/story'
import { LiveSession, type LiveProject } from './project'

/** A conversation that is read at its beginning, and a machine that then says this of its context. */
async function opened(story: Story, context: Partial<AgentState>) {
  const states = [story.stateAt(0), { ...story.stateAt(0), ...context }]
  const state = vi.fn(() => Promise.resolve(states[Math.min(state.mock.calls.length, 2) - 1]))
  const messages = () => Promise.resolve(story.messagesAt(0))
  const project = { bridge: { messages, state }, recent: [], closed: false, covers: () => {} }
  const session = new LiveSession(story.session, project as unknown as LiveProject)
  await session.load()
  return { session, state }
}

const shown = ({ view }: LiveSession) =>
  view.state === 'ready' ? [view.transcript.contextTokens, view.transcript.contextWindow] : null

const COMPACTED = { reason: 'manual', summary: 's', tokensBefore: 90, errorMessage: null }

test.each<[string, (story: Story) => void]>([
  ['another model', (story) => story.emit('model_change', { provider: 'a', id: 'b', demo: false })],
  ['a shorter conversation', (story) => story.emit('compaction_end', COMPACTED)],
])('%s has its context read anew', async (_, change) => {
  const story = new Story()
  const { session, state } = await opened(story, { contextTokens: 7, contextWindow: 100, seq: 9 })
  change(story)
  session.take(story.events)
  await vi.waitFor(() => expect(shown(session)).toEqual([7, 100]))
  // What comes a second time is no news.
  session.take(story.events)
  expect(state).toHaveBeenCalledTimes(2)
})
