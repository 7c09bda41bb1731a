// Shapes of the runs API, as docs/http-api.md has them.

export type RunStatus = 'queued' | 'running' | 'completed' | 'error' | 'cancelled'
export type RunPhase = 'plan' | 'build' | 'commit' | 'over'

/** What a run that is not over waits for, when it is not its own work. */
export type WaitsFor = 'approval' | 'answer' | 'host'

interface RunUsage {
  inputTokens: number
  outputTokens: number
  totalTokens: number
  /** Of those that were read. */
  cachedInputTokens: number
  /** Of those that were written. */
  reasoningOutputTokens: number
}

export interface RunCost {
  currency: string
  estimatedUsd: number
  pricingVersion: string
}

/** One piece of work that is done unattended: from a prompt to a commit. */
export interface Run {
  id: string
  /** From 1, within its project. */
  runIndex: number
  /** The project's latest: only that one can be cancelled. */
  writable: boolean
  /** The one that it goes on from. */
  parentRunId: string | null
  status: RunStatus
  phase: RunPhase
  waitsFor: WaitsFor | null
  createdAt: string
  startedAt: string | null
  completedAt: string | null
  prompt: string
  output: string | null
  error: string | null
  usage: RunUsage | null
  /** Null: nobody knows. */
  cost: RunCost | null
  /** The conversation in which it works. */
  sessionId: string | null
  commitSha: string | null
  /** How the project was before it. */
  checkpointId: string | null
  meta: {
    provider: string | null
    model: string | null
    /** 0: it was not begun yet. */
    attempt: number
    maxAttempts: number
    /** Whether its plan waits for a person. */
    approval: boolean
  }
}

/** Whether nothing will change any more. */
export function isOver({ status }: Pick<Run, 'status'>): boolean {
  return status === 'completed' || status === 'error' || status === 'cancelled'
}
