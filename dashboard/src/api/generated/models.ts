// Models: what the server takes and gives.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

import type { Schemas as Several } from './several'

/** What answers are made of. */
export interface Schemas {
  /** Models that stand in for others. */
  Fallbacks: {
    /** By `PROVIDER/MODEL`, or `PROVIDER/*`: who is asked in its place, in this order. */
    chains: Record<string, string[]>
    firstByteS: number
    /** Those that the file of configuration has. */
    fromFile: string[]
    /** Names that no catalogue lists. */
    unlisted: string[]
  }
  /** The file that keys were found in. */
  KeysFile: {
    path: string | null
    /** What is wrong with it now. */
    problem: string | null
  }
  /** What the programs of a project may ask of models. `None`: no limit of its own. */
  ModelLimits: {
    /** Model calls under way at once. */
    callsAtOnce: number | null
    /** Model calls that begin within any minute. */
    callsPerMinute: number | null
  }
  /** The file of models and providers of one's own. */
  ModelsFile: {
    path: string
    /** Providers that it has. */
    providers: string[]
    /** How many models it tells of. */
    models: number
    /** What is wrong with it now. */
    problem: string | null
  }
  /** Models that stand in for others in a project. */
  ProjectFallbacks: {
    /** The project's own. */
    chains: Record<string, string[]>
    /** What holds for all projects beside them. */
    inherited: Record<string, string[]>
    /** Names that no catalogue lists. */
    unlisted: string[]
  }
  /** See the module. */
  Provider: {
    id: string
    name: string
    api: Several['Api']
    configured: boolean
    source: 'env' | 'file' | 'settings' | null
    /** Where the key is, or may be; none of one that has no such variable. */
    envVar: string | null
    /** Of the source `file`. */
    file: string | null
    /** Why the key that was given cannot be one, or why nobody is there. */
    problem: string | null
    keyHint: string | null
    baseUrl: string
    models: number
    /** A server of models of this machine. */
    local: boolean
    /** From the file of models. */
    own: boolean
    /** It can be asked without a key. */
    keyless: boolean
  }
  /** What came of asking a provider with its key. */
  ProviderTest: {
    ok: boolean
    /** The provider's own words where there are any. */
    message: string
    latencyMs: number
  }
}

/** What each operation takes, and the data of its answer. */
export interface Operations {
  /** `GET /v1/models` */
  getModels: {
    data: Several['ModelList']
  }
  /** `GET /v1/providers` */
  getProviders: {
    data: Schemas['Provider'][]
  }
  /** `GET /v1/keys-file` */
  getKeysFile: {
    data: Schemas['KeysFile']
  }
  /** `GET /v1/models-file` */
  getModelsFile: {
    data: Schemas['ModelsFile']
  }
  /** `PUT /v1/providers/{id}/key` */
  putProvidersIdKey: {
    body: {
      key: string
    }
    data: Schemas['Provider']
  }
  /** `DELETE /v1/providers/{id}/key` */
  deleteProvidersIdKey: {
    data: Schemas['Provider']
  }
  /** `POST /v1/providers/{id}/test` */
  postProvidersIdTest: {
    data: Schemas['ProviderTest']
  }
  /** `GET /v1/fallbacks` */
  getFallbacks: {
    data: Schemas['Fallbacks']
  }
  /** `PUT /v1/fallbacks` */
  putFallbacks: {
    body: {
      chains?: Record<string, string[] | null>
      firstByteS?: number | null
    }
    data: Schemas['Fallbacks']
  }
  /** `GET /v1/projects/{id}/fallbacks` */
  getProjectsIdFallbacks: {
    data: Schemas['ProjectFallbacks']
  }
  /** `PUT /v1/projects/{id}/fallbacks` */
  putProjectsIdFallbacks: {
    body: {
      chains?: Record<string, string[] | null>
    }
    data: Schemas['ProjectFallbacks']
  }
  /** `GET /v1/projects/{id}/model-limits` */
  getProjectsIdModelLimits: {
    data: Schemas['ModelLimits']
  }
  /** `PUT /v1/projects/{id}/model-limits` */
  putProjectsIdModelLimits: {
    body: {
      callsAtOnce?: number | null
      callsPerMinute?: number | null
    }
    data: Schemas['ModelLimits']
  }
}
