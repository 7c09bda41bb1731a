// Model gateway: what the server takes and gives.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

import type { Schemas as Several } from './several'

/** What answers are made of. */
export interface Schemas {
  /** A request to a model that failed, as the programs of its provider know it. */
  ProviderFailure: Record<string, unknown>
}

/** What each operation takes, and the data of its answer. */
export interface Operations {
  /** `GET /llm/models` */
  getLlmModels: {
    data: Several['ModelList']
  }
  /** `POST /llm/{provider}/{path}` */
  postLlmProviderPath: {
    body: Record<string, unknown>
  }
}
