// Models that are asked in another's place while its provider is down.
import { call } from './http'

/** By `PROVIDER/MODEL`, or `PROVIDER/*` for all models of one: who is asked, in this order; empty: nobody. */
export type Chains = Record<string, string[]>

/** Null takes off what was set. */
export type ChainChanges = Record<string, string[] | null>

/** What holds for all projects. */
export interface Fallbacks {
  chains: Chains
  /** Seconds until the first byte of a streamed answer; 0 for as long as it takes. */
  firstByteS: number
  /** Models whose chain is what the server was started with. */
  fromFile: string[]
  /** Names of these chains that the list of models does not have. */
  unlisted: string[]
}

/** What a project says itself, which counts before that. */
export interface ProjectFallbacks {
  chains: Chains
  /** What holds for all projects, and for this one. */
  inherited: Chains
  unlisted: string[]
}

const pathOf = (project: string) => `/v1/projects/${encodeURIComponent(project)}/fallbacks`

export const fallbacksOfAll = () => call<Fallbacks>('GET', '/v1/fallbacks')

export const setFallbacksOfAll = (change: { chains?: ChainChanges; firstByteS?: number | null }) =>
  call<Fallbacks>('PUT', '/v1/fallbacks', change)

export const fallbacksOf = (project: string) => call<ProjectFallbacks>('GET', pathOf(project))

export const setFallbacksOf = (project: string, chains: ChainChanges) =>
  call<ProjectFallbacks>('PUT', pathOf(project), { chains })
