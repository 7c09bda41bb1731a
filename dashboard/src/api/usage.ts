// What models were asked, in tokens and money.
import type { Schemas } from './generated'
import { call } from './http'

/** How calls are added up. */
export type UsageBy = Schemas['UsageBy']
/** Calls added up. Tokens are those that providers reported. */
export type UsageFigures = Schemas['UsageFigures']
export type UsageRow = Schemas['UsageRow']
export type Usage = Schemas['Usage']

/** Of a project, or of all with null. */
export function usageOf(project: string | null, by: UsageBy, from: string): Promise<Usage> {
  const path = project === null ? '/v1/usage' : `/v1/projects/${encodeURIComponent(project)}/usage`
  return call<Usage>('GET', `${path}?by=${by}&from=${from}`)
}

/** How often the programs of a project may ask models; null for no limit. */
export type ModelLimits = Schemas['ModelLimits']

const limitsPath = (project: string) => `/v1/projects/${encodeURIComponent(project)}/model-limits`

export const modelLimitsOf = (project: string) => call<ModelLimits>('GET', limitsPath(project))

export const setModelLimits = (project: string, limits: ModelLimits) =>
  call<ModelLimits>('PUT', limitsPath(project), limits)

/** Money that may be spent, in US dollars; null for no bound. */
export type Budget = Schemas['Budget']
export type BudgetBounds = Omit<Budget, 'spent'>

const budgetPath = (project: string | null) =>
  project === null ? '/v1/budget' : `/v1/projects/${encodeURIComponent(project)}/budget`

/** Of a project, or of all together with null. */
export const budgetOf = (project: string | null) => call<Budget>('GET', budgetPath(project))

export const setBudget = (project: string | null, bounds: BudgetBounds) =>
  call<Budget>('PUT', budgetPath(project), bounds)
