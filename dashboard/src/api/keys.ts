// Keys for programs outside. A key itself comes out once, when it is made.
import { call } from './http'

export type Scope = 'models' | 'read' | 'admin'

export interface ApiKey {
  id: string
  name: string
  /** How the key begins. */
  prefix: string
  scopes: Scope[]
  /** The only project that it opens. */
  projectId: string | null
  createdAt: number
  /** Name of who made it; null: a program, or they are gone. */
  createdBy: string | null
  /** Null: never. */
  expiresAt: number | null
  expired: boolean
  lastUsedAt: number | null
}

export interface NewKey {
  name: string
  scopes: Scope[]
  project?: string
  expiresAt?: number
}

export const apiKeys = {
  list: () => call<{ keys: ApiKey[] }>('GET', '/v1/keys').then(({ keys }) => keys),
  create: (wish: NewKey) => call<ApiKey & { key: string }>('POST', '/v1/keys', wish),
  revoke: (id: string) =>
    call<{ id: string; revoked: true }>('DELETE', `/v1/keys/${encodeURIComponent(id)}`),
}
