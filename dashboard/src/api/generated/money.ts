// Money: what the server takes and gives.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

import type { Schemas as Several } from './several'

/** What answers are made of. */
export interface Schemas {
  /** What may be spent, in US dollars; null: no bound. */
  Budget: {
    /** For one run. */
    runUsd: number | null
    /** In a calendar month (UTC). */
    monthUsd: number | null
    totalUsd: number | null
    spent: Schemas['Spent']
  }
  /** What a model costs, for 1,000 tokens. */
  ModelPrice: {
    provider: string
    model: string
    currency: string
    inputCostPer1k: number
    outputCostPer1k: number
    cachedInputCostPer1k: number | null
    reasoningOutputCostPer1k: number | null
    pricingVersion: string
    active: boolean
    /** RFC 3339. */
    updatedAt: string
  }
  /** What was spent, in US dollars. */
  Spent: {
    monthUsd: number
    totalUsd: number
  }
  /** Model calls of some days, added up. */
  Usage: {
    /** The first day (UTC). */
    from: string
    /** The last day (UTC). */
    to: string
    by: Schemas['UsageBy']
    rows: Schemas['UsageRow'][]
    /** Whether there are more rows. */
    truncated: boolean
    total: Schemas['UsageFigures']
  }
  UsageBy: 'day' | 'project' | 'session' | 'run' | 'model' | 'provider'
  /** Calls, tokens and cost. */
  UsageFigures: {
    calls: number
    failed: number
    input: number
    output: number
    cacheRead: number
    cacheWrite: number
    /** Null when there are calls and the cost of none is known; else of those whose cost is known. */
    costUsd: number | null
    /** Calls whose cost is not known. */
    unpriced: number
  }
  /** Of one day, project, conversation, run, model or provider. */
  UsageRow: {
    /** The day, or the id; null where none is known. */
    key: string | null
    name?: string | null
    deleted?: boolean | null
    project?: string | null
    projectName?: string | null
    session?: string | null
    provider?: string | null
    calls: number
    failed: number
    input: number
    output: number
    cacheRead: number
    cacheWrite: number
    /** Null when there are calls and the cost of none is known; else of those whose cost is known. */
    costUsd: number | null
    /** Calls whose cost is not known. */
    unpriced: number
  }
}

/** What each operation takes, and the data of its answer. */
export interface Operations {
  /** `GET /v1/usage` */
  getUsage: {
    data: Schemas['Usage']
  }
  /** `GET /v1/projects/{id}/usage` */
  getProjectsIdUsage: {
    data: Schemas['Usage']
  }
  /** `GET /v1/budget` */
  getBudget: {
    data: Schemas['Budget']
  }
  /** `PUT /v1/budget` */
  putBudget: {
    body: {
      runUsd?: number | null
      monthUsd?: number | null
      totalUsd?: number | null
    }
    data: Schemas['Budget']
  }
  /** `GET /v1/projects/{id}/budget` */
  getProjectsIdBudget: {
    data: Schemas['Budget']
  }
  /** `PUT /v1/projects/{id}/budget` */
  putProjectsIdBudget: {
    body: {
      runUsd?: number | null
      monthUsd?: number | null
      totalUsd?: number | null
    }
    data: Schemas['Budget']
  }
  /** `GET /v1/model-pricing` */
  getModelPricing: {
    data: Schemas['ModelPrice'][]
  }
  /** `PUT /v1/model-pricing/{provider}/{model}` */
  putModelPricingProviderModel: {
    body: {
      inputCostPer1k: number
      outputCostPer1k: number
      cachedInputCostPer1k?: number | null
      reasoningOutputCostPer1k?: number | null
      currency?: string | null
      pricingVersion?: string | null
      active?: boolean | null
    }
    data: Schemas['ModelPrice']
  }
  /** `DELETE /v1/model-pricing/{provider}/{model}` */
  deleteModelPricingProviderModel: {
    data: Several['Done']
  }
}
