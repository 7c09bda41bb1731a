// Models that are asked in another's place while its provider is down.
import type { Operations, Schemas } from './generated'
import { call } from './http'

export type Fallbacks = Schemas['Fallbacks']
/** What a project says itself, which counts before that. */
export type ProjectFallbacks = Schemas['ProjectFallbacks']
export type Chains = Fallbacks['chains']

/** Null takes off what was set. */
export type ChainChanges = NonNullable<Operations['putFallbacks']['body']['chains']>

const pathOf = (project: string) => `/v1/projects/${encodeURIComponent(project)}/fallbacks`

export const fallbacksOfAll = () => call<Fallbacks>('GET', '/v1/fallbacks')

export const setFallbacksOfAll = (change: { chains?: ChainChanges; firstByteS?: number | null }) =>
  call<Fallbacks>('PUT', '/v1/fallbacks', change)

export const fallbacksOf = (project: string) => call<ProjectFallbacks>('GET', pathOf(project))

export const setFallbacksOf = (project: string, chains: ChainChanges) =>
  call<ProjectFallbacks>('PUT', pathOf(project), { chains })
