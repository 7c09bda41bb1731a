// Settings: what the server takes and gives.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

import type { Schemas as Several } from './several'

/** What answers are made of. */
export interface Schemas {
  /** Settings of the team, and a person's. */
  Settings: {
    defaultProvider: string | null
    defaultModel: string | null
    defaultThinkingLevel: string | null
    /** Whether servers of models on this machine are looked for. */
    localModels: boolean
    /** `light`, `dark` or `system`; null: nothing was chosen. */
    theme: string | null
  }
}

/** What each operation takes, and the data of its answer. */
export interface Operations {
  /** `GET /v1/settings` */
  getSettings: {
    data: Schemas['Settings']
  }
  /** `PUT /v1/settings` */
  putSettings: {
    body: {
      defaultProvider?: string | null
      defaultModel?: string | null
      defaultThinkingLevel?: string | null
      localModels?: boolean | null
      theme?: string | null
    }
    data: Schemas['Settings']
  }
  /** `POST /v1/vault/rotate` */
  postVaultRotate: {
    data: Several['Done']
  }
}
