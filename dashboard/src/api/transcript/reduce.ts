// Events to rows. Pure: the same snapshot and events give the same transcript, whatever arrives
// twice. An event that the snapshot already holds (by number) adds at most how long something took.
import type { BridgeEvent, ExtensionError } from '../events'
import { Draft } from './draft'
import { stepsOf, todosIn } from './plan'
import type { Transcript } from './types'

/** Applies a batch; gives back the same object when nothing changed. */
export function reduce(before: Transcript, events: readonly BridgeEvent[]): Transcript {
  const draft = new Draft(before)
  for (const event of events) {
    if (event.session !== null && event.session !== before.sessionId) continue
    tell(draft, event)
    if (event.seq > draft.seq) {
      draft.seq = event.seq
      rows(draft, event)
    } else history(draft, event)
    if (event.seq > draft.stateSeq) {
      draft.stateSeq = event.seq
      state(draft, event)
    }
  }
  return draft.done()
}

/** Remembers the newest answer or result. */
function tell(draft: Draft, event: BridgeEvent): void {
  if (event.kind !== 'message_end' || event.seq <= draft.told.seq) return
  const { entryId, message } = event.data
  if (message.role === 'assistant' || message.role === 'toolResult') {
    draft.told = { seq: event.seq, entryId }
  }
}

/** What an event that the snapshot holds already can add to it: times, which messages do not tell. */
function history(draft: Draft, event: BridgeEvent): void {
  if (event.kind === 'agent_end') {
    draft.claims(event.data.claims ?? [])
    if (event.seq > draft.told.seq) draft.measured(event.data)
  } else if (event.kind === 'tool_end') draft.took(event.data.toolCallId, event.data.durationMs)
  else if (event.kind === 'tool_start') draft.works(event.data.toolCallId, event.data.childSession)
  else mark(draft, event)
}

/** Where the project went back, or was copied from another: messages do not tell. */
function mark(draft: Draft, event: BridgeEvent): void {
  if (event.kind === 'restored') {
    const { checkpointId, label, takenAt, sessions } = event.data
    const moved = sessions.some((each) => each.sessionId === draft.sessionId)
    const what = { kind: 'restored' as const, checkpointId, label, takenAt, moved }
    draft.mark({ kind: 'marker', id: `restored:${event.seq}`, at: event.at, what }, moved)
  } else if (event.kind === 'forked') {
    const what = { kind: 'forked' as const, from: event.data.from }
    draft.mark({ kind: 'marker', id: `forked:${event.seq}`, at: event.at, what }, false)
  }
}

/** What the event does to the rows. */
function rows(draft: Draft, event: BridgeEvent): void {
  switch (event.kind) {
    case 'message_start':
      if (event.data.role === 'assistant') draft.begin(event.data.messageId)
      return
    case 'message_update':
      draft.delta(event.data)
      return
    case 'message_end':
      // Words of a person drop a plan that waits for them.
      if (event.data.message.role === 'user') draft.settle(null, 'dropped')
      draft.whole(event.data.messageId, event.data.entryId, event.data.message)
      return
    case 'message_restarted':
      draft.restart(event.data.messageId, event.data.reason)
      return
    case 'tool_start':
      draft.tool(event.data.toolCallId, event.data.toolName, (row) => ({
        ...row,
        state: 'running',
        input: event.data.input,
        inputText: '',
        startedAt: event.at,
        child: event.data.childSession ?? row.child,
      }))
      return
    case 'tool_update':
      draft.output(event.data.toolCallId, event.data.toolName, event.data.delta)
      return
    case 'tool_end':
      draft.result(event.data)
      return
    case 'question':
      draft.ask(event.data)
      return
    case 'answered':
      draft.answered()
      return
    case 'plan_ready':
      draft.plan(event.data)
      return
    case 'plan_settled':
      draft.settle(event.data.planId, event.data.state)
      return
    case 'agent_end':
      draft.claims(event.data.claims ?? [])
      draft.end(event.seq, event.data)
      return
    case 'compaction_end':
      if (event.data.summary) {
        draft.push({ kind: 'summary', id: `compaction:${event.seq}`, text: event.data.summary })
      } else if (event.data.errorMessage) {
        const text = `The conversation could not be shortened: ${event.data.errorMessage}`
        draft.push({ kind: 'note', id: `compaction:${event.seq}`, text })
      }
      return
    case 'restored':
    case 'forked':
      mark(draft, event)
      return
    case 'extension_error':
      draft.push({
        kind: 'note',
        id: `extension:${event.seq}`,
        text: extensionWords(event.data),
      })
      return
    case 'error':
      // Errors without a session belong to the project's log, not to every conversation.
      if (event.session !== null) {
        draft.push({ kind: 'note', id: `error:${event.seq}`, text: event.data.message })
      }
      return
    default:
  }
}

/** Which extension, at what, and what is wrong with it. */
export function extensionWords({ extension, hook, message }: ExtensionError): string {
  return `Extension ${extension}${hook === null ? '' : `, ${hook}`}: ${message}`
}

/** What the event does to everything else. */
function state(draft: Draft, event: BridgeEvent): void {
  switch (event.kind) {
    case 'agent_start':
      draft.set({ status: 'working', workingSince: event.at, retry: null })
      return
    case 'agent_end': {
      const { reason } = event.data
      const failed = reason === 'error' || reason === 'limit'
      const status = failed ? 'error' : 'idle'
      draft.set({ status, workingSince: null, retry: null, checking: null, question: null })
      return
    }
    case 'question':
      draft.set({ status: 'waiting', question: event.data })
      return
    case 'answered':
      draft.set({ status: draft.is('retry')?.asks ? 'waiting' : 'working', question: null })
      return
    case 'mode_change':
      draft.set({ mode: event.data.mode })
      return
    case 'plan_settled': {
      const steps = stepsOf(draft.rows, event.data.planId)
      if (event.data.state === 'approved' && steps) draft.set({ todos: steps })
      return
    }
    case 'auto_check': {
      const { status, command } = event.data
      draft.set({ checking: status === 'started' ? command : null })
      return
    }
    case 'tool_end':
      if (event.data.toolName === 'todo' && !event.data.isError) {
        const todos = todosIn(event.data.result.details)
        if (todos) draft.set({ todos })
      }
      if (draft.is('question')?.toolCallId === event.data.toolCallId) {
        draft.set({ status: 'working', question: null })
      }
      return
    case 'queue_update':
      draft.set({ steering: event.data.steering, followUp: event.data.followUp })
      return
    case 'session_info_changed':
      draft.set({ name: event.data.name })
      return
    case 'model_change': {
      const { provider, id, demo } = event.data
      draft.set({ model: { provider, id, demo } })
      return
    }
    case 'thinking_level_change':
      draft.set({ thinkingLevel: event.data.level })
      return
    case 'compaction_start':
      draft.set({ compacting: true })
      return
    case 'compaction_end':
      draft.set({ compacting: false })
      return
    case 'auto_retry_start':
      draft.set({
        retry: {
          attempt: event.data.attempt,
          maxAttempts: event.data.maxAttempts,
          until: event.at + event.data.delayMs,
          why: event.data.errorMessage,
          asks: event.data.asks ?? false,
        },
        ...(event.data.asks ? { status: 'waiting' as const } : {}),
      })
      return
    case 'auto_retry_end':
      // What another helper asks stays asked.
      draft.set({
        retry: null,
        ...(event.data.success && !draft.is('question') ? { status: 'working' as const } : {}),
      })
      return
    case 'message_end':
      if (event.data.message.role === 'assistant') {
        const { totalTokens } = event.data.message.usage
        if (totalTokens > 0) draft.set({ contextTokens: totalTokens })
      }
      return
    default:
  }
}
