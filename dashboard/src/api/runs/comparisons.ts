// Several runs from one prompt, each in a fork of its own: shapes and routes, as docs/http-api.md has them.
import { call } from '../http'
import type { Change, FileDiff } from '../machine-types'
import type { Run, RunCost, RunStatus } from './types'

const seg = encodeURIComponent

/** The project's disk is exchanged, and each fork has to be ended before it goes. */
const DECIDE_TIMEOUT_MS = 300_000

type ComparisonStatus = 'making' | 'open' | 'keeping' | 'dropping' | 'kept' | 'dropped' | 'failed'

/** What a candidate had checked, by the word of its machine's first process. */
export interface CandidateCheck {
  receipt: number
  kinds: string[]
  command: string
  /** The check that follows a build by itself. */
  auto: boolean
  result: 'passed' | 'failed' | 'undecided'
  exitCode: number | null
  durationMs: number
}

export interface Candidate {
  number: number
  runId: string
  /** As they were asked for; null: the project's choice. */
  provider: string | null
  model: string | null
  /** Its fork; null until it is made, and when it is gone. */
  projectId: string | null
  url: string | null
  kept: boolean
  run: Run | null
  durationMs: number | null
  /** What its run came to, when the fork is gone. */
  outcome: {
    status: RunStatus
    provider: string | null
    model: string | null
    cost: RunCost | null
    durationMs: number | null
  } | null
  /** Not in lists. */
  checks?: CandidateCheck[]
}

export interface Comparison {
  id: string
  projectId: string
  status: ComparisonStatus
  error: string | null
  prompt: string
  /** The checkpoint that all began from. */
  baseCheckpointId: string | null
  keptRunId: string | null
  candidates: Candidate[]
  createdAt: string
  updatedAt: string
}

interface CandidateChange extends Change {
  /** Lines; null where they were not counted. */
  added: number | null
  removed: number | null
}

export interface CandidateDiff {
  changes: CandidateChange[]
  truncated: boolean
  added: number
  removed: number
  /** Whether all files of the project are in those sums. */
  counted: boolean
}

/** Calls for one project. */
export function comparisonsOf(project: string) {
  const base = `/v1/projects/${seg(project)}/comparisons`
  const one = (comparison: string) => `${base}/${seg(comparison)}`
  const diff = (comparison: string, run: string) => `${one(comparison)}/candidates/${seg(run)}/diff`
  return {
    /** Latest first. */
    list: () => call<Comparison[]>('GET', `${base}?limit=50`),
    comparison: (comparison: string) => call<Comparison>('GET', one(comparison)),
    diff: (comparison: string, run: string) => call<CandidateDiff>('GET', diff(comparison, run)),
    fileDiff: (comparison: string, run: string, path: string) =>
      call<FileDiff>('GET', `${diff(comparison, run)}?path=${seg(path)}`),
    keep: (comparison: string, runId: string) =>
      call<Comparison>(
        'POST',
        `${one(comparison)}/keep`,
        { runId },
        { timeoutMs: DECIDE_TIMEOUT_MS },
      ),
    drop: (comparison: string) =>
      call<Comparison>('POST', `${one(comparison)}/drop`, {}, { timeoutMs: DECIDE_TIMEOUT_MS }),
  }
}

/** Whether the candidates wait for a decision, or are about to. */
export function isUndecided({ status }: Pick<Comparison, 'status'>): boolean {
  return status === 'making' || status === 'open' || status === 'keeping' || status === 'dropping'
}
