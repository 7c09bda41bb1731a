// What models were asked, in tokens and money.
import { call } from './http'

/** How calls are added up. */
export type UsageBy = 'day' | 'project' | 'session' | 'run' | 'model' | 'provider'

/** Calls added up. Tokens are those that providers reported. */
export interface UsageFigures {
  calls: number
  failed: number
  input: number
  output: number
  cacheRead: number
  cacheWrite: number
  /** Of the calls whose cost is known; null when that is none of them. */
  costUsd: number | null
  /** Calls whose cost is not known. */
  unpriced: number
}

export interface UsageRow extends UsageFigures {
  /** Null for what has none: programs outside, calls of no conversation, an unknown model. */
  key: string | null
  name?: string | null
  deleted?: boolean
  project?: string | null
  projectName?: string | null
  session?: string | null
  provider?: string
}

export interface Usage {
  /** Days in UTC: `2026-11-21`. */
  from: string
  to: string
  by: UsageBy
  rows: UsageRow[]
  truncated: boolean
  total: UsageFigures
}

/** Of a project, or of all with null. */
export function usageOf(project: string | null, by: UsageBy, from: string): Promise<Usage> {
  const path = project === null ? '/v1/usage' : `/v1/projects/${encodeURIComponent(project)}/usage`
  return call<Usage>('GET', `${path}?by=${by}&from=${from}`)
}

/** How often the programs of a project may ask models; null for no limit. */
export interface ModelLimits {
  callsAtOnce: number | null
  callsPerMinute: number | null
}

const limitsPath = (project: string) => `/v1/projects/${encodeURIComponent(project)}/model-limits`

export const modelLimitsOf = (project: string) => call<ModelLimits>('GET', limitsPath(project))

export const setModelLimits = (project: string, limits: ModelLimits) =>
  call<ModelLimits>('PUT', limitsPath(project), limits)

/** Money that may be spent, in US dollars; null for no bound. */
export interface BudgetBounds {
  runUsd: number | null
  monthUsd: number | null
  totalUsd: number | null
}

export interface Budget extends BudgetBounds {
  spent: { monthUsd: number; totalUsd: number }
}

const budgetPath = (project: string | null) =>
  project === null ? '/v1/budget' : `/v1/projects/${encodeURIComponent(project)}/budget`

/** Of a project, or of all together with null. */
export const budgetOf = (project: string | null) => call<Budget>('GET', budgetPath(project))

export const setBudget = (project: string | null, bounds: BudgetBounds) =>
  call<Budget>('PUT', budgetPath(project), bounds)
