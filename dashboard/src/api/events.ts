// The bridge's events as they come over SSE: kind, number, data. Kinds and fields are those of
// `toft_model::event`; a kind that is not listed here passes by.
import type {
  AssistantMessage,
  Block,
  Inspect,
  Message,
  Mode,
  PlanReady,
  PlanState,
  Question,
  Usage,
} from './bridge-types'
import type { Outcome, ServiceState } from './machine-types'
import type { McpState } from './mcp'
import type { Claim, RunReceipt } from './receipts'
import type { RunPhase, RunStatus, WaitsFor } from './runs/types'

type Delta =
  | { type: 'text_start' | 'text_end' | 'thinking_start' | 'thinking_end'; contentIndex: number }
  | {
      type: 'text_delta' | 'thinking_delta' | 'toolcall_delta'
      contentIndex: number
      delta: string
    }
  | { type: 'toolcall_start'; contentIndex: number; id: string; toolName: string }
  | {
      type: 'toolcall_end'
      contentIndex: number
      toolCall: { id: string; name: string; arguments: Record<string, unknown> }
    }

export interface AgentEnd {
  reason: string
  usage: Usage
  turns: number
  tools: number
  changed: string[]
  durationMs: number
  demo: boolean
  /** What it said of checks, and the receipts of them. */
  claims?: Claim[]
}

/** A conversation whose place moved. `toEntryId` null: before its first entry. */
interface Moved {
  sessionId: string
  fromEntryId: string | null
  toEntryId: string | null
}

export interface LimitHit {
  kind: 'memory' | 'pids' | 'disk' | 'log'
  command: string | null
  pid: number | null
  peak: number | null
  limit: number | null
  message: string
}

/** A run has gone a step. The last one of a run says a `status`. */
export interface RunStep {
  runId: string
  phase: RunPhase
  waitsFor?: WaitsFor
  /** The plan that it builds, or that waits. */
  plan?: PlanReady
  commit?:
    | { result: 'made'; commitSha: string }
    | { result: 'skipped'; reason: string }
    | { result: 'failed'; error: string }
  status?: RunStatus
  error?: string
}

/** `hook` null: nothing of the extension can be used. */
export interface ExtensionError {
  extension: string
  hook: string | null
  message: string
  toolCallId?: string
}

interface Bodies {
  bridge_started: { version: string }
  agent_start: object
  turn_start: object
  message_start: { messageId: string; role: string }
  message_update: { messageId: string } & Delta
  message_end: { messageId: string; entryId: string; parentId: string | null; message: Message }
  message_restarted: { messageId: string; reason: string }
  tool_start: {
    toolCallId: string
    toolName: string
    input: Record<string, unknown>
    /** The conversation in which a task does its work. */
    childSession?: string
  }
  /** `stream` is told of errors, by tools that keep streams apart. */
  tool_update: { toolCallId: string; toolName: string; delta: string; stream?: 'stderr' }
  tool_end: {
    toolCallId: string
    toolName: string
    result: { content: Block[]; details?: unknown }
    isError: boolean
    durationMs: number
  }
  turn_end: { message: AssistantMessage; toolResults: number }
  agent_end: AgentEnd
  queue_update: { steering: string[]; followUp: string[] }
  session_created: { name: string | null }
  session_switched: { name: string | null }
  session_info_changed: { name: string | null }
  model_change: { provider: string; id: string; demo: boolean }
  thinking_level_change: { level: string }
  mode_change: { mode: Mode }
  plan_ready: PlanReady
  plan_settled: { planId: string; state: PlanState }
  auto_check: {
    status: 'started' | 'fix_attempt' | 'passed' | 'failed'
    command: string
    attempt: number
    attemptsMax: number
    exitCode?: number
  }
  compaction_start: { reason: string }
  compaction_end: {
    reason: string
    summary: string | null
    tokensBefore: number
    errorMessage: string | null
  }
  auto_retry_start: {
    attempt: number
    maxAttempts: number
    delayMs: number
    errorMessage: string
    /** A person has to do something first. */
    asks?: boolean
  }
  auto_retry_end: { success: boolean; attempt: number; finalError: string | null }
  notify: { message: string; level: string; refreshIframe: boolean }
  question: Question
  answered: { toolCallId: string; id?: string; childSession?: string }
  app_port: { port: number; source: string }
  inspect: Inspect
  terminal_opened: { id: string; label: string }
  terminal_closed: { id: string }
  restored: {
    checkpointId: string
    label: string | null
    takenAt: number
    sessions: Moved[]
  }
  navigated: { sessions: Moved[] }
  label_change: { targetId: string; label: string | null }
  forked: { from: string; seq: number; checkpointId: string | null }
  limit: LimitHit
  service: {
    id: string
    name: string
    state: ServiceState
    exitCode: number | null
    restarts: number
  }
  schedule: {
    scheduleId: string
    name: string
    slot: number
    outcome: Outcome
    reason: string | null
  }
  /** A check ran: told again when the project's files were read. */
  receipt: RunReceipt
  run_step: RunStep
  mcp_server: { name: string; state: McpState; message?: string; tools?: number }
  extension_error: ExtensionError
  error: { code: string; message: string }
}

export type Kind = keyof Bodies

/** One event. `at` is when it happened (Unix ms), or when it arrived here where the wire does not say
 * (logs of before events had a time): then it is not `timed`. */
export type BridgeEvent = {
  [K in Kind]: {
    kind: K
    seq: number
    at: number
    timed: boolean
    session: string | null
    data: Bodies[K]
  }
}[Kind]

const NAMES: Record<Kind, true> = {
  bridge_started: true,
  agent_start: true,
  turn_start: true,
  message_start: true,
  message_update: true,
  message_end: true,
  message_restarted: true,
  tool_start: true,
  tool_update: true,
  tool_end: true,
  turn_end: true,
  agent_end: true,
  queue_update: true,
  session_created: true,
  session_switched: true,
  session_info_changed: true,
  model_change: true,
  thinking_level_change: true,
  mode_change: true,
  plan_ready: true,
  plan_settled: true,
  auto_check: true,
  compaction_start: true,
  compaction_end: true,
  auto_retry_start: true,
  auto_retry_end: true,
  notify: true,
  question: true,
  answered: true,
  app_port: true,
  inspect: true,
  terminal_opened: true,
  terminal_closed: true,
  restored: true,
  navigated: true,
  label_change: true,
  forked: true,
  limit: true,
  service: true,
  schedule: true,
  receipt: true,
  run_step: true,
  mcp_server: true,
  extension_error: true,
  error: true,
}

/** Whether this page knows the kind; others pass by. */
export function isKind(name: string): name is Kind {
  return Object.hasOwn(NAMES, name)
}

/** One SSE frame as an event, or null when it is not one (no number, no JSON). */
export function eventOf(kind: Kind, id: string, text: string, at: number): BridgeEvent | null {
  const seq = Number(id)
  if (!Number.isSafeInteger(seq) || seq < 1) return null
  try {
    const data = JSON.parse(text) as { sessionId?: string; ts?: number }
    const timed = typeof data.ts === 'number'
    return {
      kind,
      seq,
      at: timed ? data.ts : at,
      timed,
      session: data.sessionId ?? null,
      data,
    } as unknown as BridgeEvent
  } catch {
    return null
  }
}
