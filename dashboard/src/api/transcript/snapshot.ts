// A conversation from its stored messages and the agent's state: where following the events begins.
import type { AgentState, MessageList, StoredMessage } from '../bridge-types'
import {
  addUsage,
  assistantRows,
  imagesOf,
  newTool,
  NO_USAGE,
  noteOf,
  textOf,
  withResult,
} from './rows'
import { ORDER, todosOf, withPlan } from './plan'
import type { Tally, Row, ToolRow, Transcript } from './types'

/** `state` may be missing when the machine never ran. */
export function fromSnapshot(list: MessageList, state: AgentState | null): Transcript {
  const status = state?.status ?? 'idle'
  const rows = planned(rowsOf(list, status === 'working' || status === 'waiting', state), state)
  return {
    sessionId: list.sessionId,
    seq: list.seq,
    stateSeq: state?.seq ?? list.seq,
    told: { seq: 0, entryId: null },
    rows,
    name: state?.sessionName ?? null,
    status,
    workingSince: null,
    steering: state?.steering ?? [],
    followUp: state?.followUp ?? [],
    question: state?.question ?? null,
    retry: null,
    mode: state?.mode ?? 'build',
    todos: state?.todos ?? todosOf(rows),
    checking: null,
    compacting: state?.isCompacting ?? false,
    model: state?.model ?? null,
    thinkingLevel: state?.thinkingLevel ?? 'off',
    contextTokens: state?.contextTokens ?? null,
    contextWindow: state?.contextWindow ?? null,
  }
}

/** With the newest plan in its place. One that a person changed stands before the words that approved it. */
function planned(rows: Row[], state: AgentState | null): readonly Row[] {
  const { plan, planState } = state ?? {}
  if (!plan || !planState) return rows
  const order = rows.findLastIndex((row) => row.kind === 'user' && row.text.startsWith(ORDER))
  const before = planState === 'approved' && order >= 0 ? order : rows.length
  const ends = rows[before - 1]?.kind === 'tally' ? before - 1 : before
  return withPlan(rows, plan, planState, ends)
}

/** What is summed up between two prompts, since the log of old tallies is not asked for. */
interface Turn {
  tally: Tally
  from: number
  to: number
  /** Its newest answer or result. */
  last: string | null
  over: boolean
}

function rowsOf(list: MessageList, busy: boolean, state: AgentState | null): Row[] {
  const { messages, restores = [] } = list
  const rows: Row[] = []
  const tools = new Map<string, number>()
  let turn: Turn | null = null

  const close = () => {
    if (turn && turn.over && turn.tally.turns > 0) {
      turn.tally.durationMs = turn.to - turn.from
      rows.push({
        kind: 'tally',
        id: `tally:${rows.at(-1)?.id ?? ''}`,
        tally: turn.tally,
        after: turn.last,
      })
    }
    turn = null
  }

  const markAfter = (entry: string | null) => {
    for (const { afterEntryId, checkpointId, label, takenAt, at } of restores) {
      // A fork moves conversations too, and tells so by an event of its own.
      if (afterEntryId !== entry || checkpointId === null || takenAt === null) continue
      close()
      const what = { kind: 'restored' as const, checkpointId, label, takenAt, moved: true }
      rows.push({ kind: 'marker', id: `restored@${at}`, at, what })
    }
  }

  markAfter(null)
  for (const { entryId, message } of messages) {
    if (message.role === 'user') {
      // A steering message arrives between tools: the turn goes on.
      if (turn?.over) close()
      rows.push({
        kind: 'user',
        id: entryId,
        text: textOf(message.content),
        images: imagesOf(message.content),
        at: message.timestamp,
      })
      turn ??= begin(message.timestamp)
    } else if (message.role === 'assistant') {
      // An answer after one that failed or was stopped: a person had it asked again.
      if (turn?.over && FAILED.has(turn.tally.reason)) {
        close()
        turn = begin(message.timestamp)
      }
      if (message.provider === 'demo' && rows.at(-1)?.kind === 'user') {
        rows.push({ kind: 'demo', id: `demo:${entryId}`, text: message.model })
      }
      for (const row of assistantRows(entryId, message)) {
        if (row.kind === 'tool') tools.set(row.callId, rows.length)
        rows.push(row)
      }
      if (turn) {
        const tally: Tally = turn.tally
        turn.last = entryId
        tally.turns += 1
        tally.usage = addUsage(tally.usage, message.usage)
        tally.demo ||= message.provider === 'demo'
        tally.reason = message.stopReason
        turn.over = message.stopReason !== 'toolUse'
        turn.to = Math.max(turn.to, message.timestamp)
        for (const block of message.content) {
          if (block.type !== 'toolCall') continue
          tally.tools += 1
          noteChange(tally, block.name, block.arguments)
        }
      }
    } else if (message.role === 'toolResult') {
      const at = tools.get(message.toolCallId)
      const row =
        at === undefined
          ? newTool(entryId, entryId, message.toolCallId, message.toolName)
          : (rows[at] as ToolRow)
      const done = withResult(row, message, message.isError, null)
      if (at === undefined) rows.push(done)
      else rows[at] = done
      if (turn) {
        turn.last = entryId
        turn.to = Math.max(turn.to, message.timestamp)
      }
    } else if (message.role === 'custom') {
      if (message.display) rows.push({ kind: 'note', id: entryId, text: noteOf(message) })
    } else {
      rows.push({ kind: 'summary', id: entryId, text: message.summary })
    }
    markAfter(entryId)
  }
  // While it works, a failed call may be tried again, and another prompt may have begun whose words are
  // not stored yet. A tally that came too early gives way to the measured one.
  if (!busy || lastReason(messages) !== 'error') close()
  return rows.map((row) => settle(row, busy, state))
}

/** A call without a result either runs still, or was cut off. */
function settle(row: Row, busy: boolean, state: AgentState | null): Row {
  if (row.kind !== 'tool') return row
  const question = state?.question?.toolCallId === row.callId ? state.question : null
  // A call that is over may be asked about still: whether it is to be made again and again.
  if (row.result !== null) return question?.kind ? { ...row, question } : row
  return { ...row, state: busy ? 'running' : 'cut', question }
}

const EMPTY_TALLY: Tally = {
  reason: 'done',
  turns: 0,
  tools: 0,
  changed: [],
  durationMs: 0,
  about: true,
  usage: NO_USAGE,
  demo: false,
}

/** Ends of answers that a person may have asked again. */
const FAILED = new Set(['error', 'aborted'])

function begin(at: number): Turn {
  return { tally: { ...EMPTY_TALLY, changed: [] }, from: at, to: at, last: null, over: false }
}

function noteChange(tally: Tally, tool: string, input: Record<string, unknown>) {
  const { path } = input
  if ((tool === 'write' || tool === 'edit') && typeof path === 'string') {
    if (!tally.changed.includes(path)) tally.changed.push(path)
  }
}

function lastReason(messages: readonly StoredMessage[]): string | null {
  const last = messages.at(-1)?.message
  return last?.role === 'assistant' ? last.stopReason : null
}
