// Several runs from one prompt, each in a fork of its own: the server's own types, and its routes.
import type { Schemas } from '../generated'
import { call } from '../http'
import type { FileDiff } from '../machine-types'

const seg = encodeURIComponent

/** The project's disk is exchanged, and each fork has to be ended before it goes. */
const DECIDE_TIMEOUT_MS = 300_000

export type CandidateCheck = Schemas['CandidateCheck']
export type Candidate = Schemas['Candidate']
export type Comparison = Schemas['Comparison']
export type CandidateDiff = Schemas['CandidateDiff']

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
