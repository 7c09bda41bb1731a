// Keys for programs outside. A key itself comes out once, when it is made.
import type { Operations, Schemas } from './generated'
import { call } from './http'

export type Scope = Schemas['Scope']
export type ApiKey = Schemas['ApiKey']
export type NewKey = Operations['postKeys']['body']

export const apiKeys = {
  list: () => call<{ keys: ApiKey[] }>('GET', '/v1/keys').then(({ keys }) => keys),
  create: (wish: NewKey) => call<ApiKey & { key: string }>('POST', '/v1/keys', wish),
  revoke: (id: string) =>
    call<{ id: string; revoked: true }>('DELETE', `/v1/keys/${encodeURIComponent(id)}`),
}
