// A run's own events as they come over SSE: kind, number, data. The kinds are those of the runs API; one
// that is not listed here passes by, as a ping does.
import type { PlanTodo } from '../bridge-types'
import type { Frame } from '../live/sse'
import type { WaitsFor } from './types'

export type FileVerb = 'read' | 'write' | 'edit' | 'ls' | 'grep' | 'glob'

/** A call of a tool. `runId` is the name of the call. */
type ToolTold = { tool: string; runId: string } & (
  | { phase: 'start'; input: Record<string, unknown> | null }
  | { phase: 'stream'; chunk: string }
  | { phase: 'end'; output: string; durationMs?: number }
  | { phase: 'error'; error: string; durationMs?: number }
)

/** What a `status` says beside its name: which of them, the name decides. */
export interface StatusTold {
  status: string
  attempt?: number
  attempts?: number
  maxAttempts?: number
  nextAttempt?: number
  backoffSeconds?: number
  phase?: string
  summary?: string
  todos?: PlanTodo[]
  planId?: string
  tool?: string
  detail?: string
  cmd?: string
  exitCode?: number | null
  error?: string
  reason?: string
  provider?: string
  model?: string
  commitSha?: string
  touchedFiles?: string[]
  waitsFor?: WaitsFor | null
  sizeBytes?: number
  fileCount?: number
  from?: string
  sandboxId?: string
  to?: string
}

interface Bodies {
  status: StatusTold
  token: { token: string }
  /** `path` null: the project's folder. */
  file_op: { op: FileVerb; path: string | null }
  tool: ToolTold
  done: { durationMs: number | null }
  error: { error: string; attempts: number; maxAttempts: number }
}

type RunKind = keyof Bodies

export type RunEvent = {
  [K in RunKind]: { kind: K; seq: number; at: number; data: Bodies[K] }
}[RunKind]

const NAMES: Record<RunKind, true> = {
  status: true,
  token: true,
  file_op: true,
  tool: true,
  done: true,
  error: true,
}

/** One frame as an event, or null when it is none of these. */
export function runEventOf({ event, id, data }: Frame): RunEvent | null {
  const seq = Number(id)
  if (!Object.hasOwn(NAMES, event) || !Number.isSafeInteger(seq) || seq < 1) return null
  try {
    const told = JSON.parse(data) as { data?: object; ts?: string }
    if (typeof told.data !== 'object' || told.data === null) return null
    return { kind: event, seq, at: Date.parse(told.ts ?? ''), data: told.data } as RunEvent
  } catch {
    return null
  }
}

/** Whether nothing comes after it. */
export function isLast(event: RunEvent): boolean {
  return (
    event.kind === 'done' ||
    event.kind === 'error' ||
    (event.kind === 'status' && event.data.status === 'cancelled')
  )
}
