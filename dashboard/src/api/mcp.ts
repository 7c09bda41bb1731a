// Servers of tools (MCP) that a project declares, and sign-ins at them. Shapes of docs/http-api.md.
import type { Schemas } from './generated'
import { call } from './http'

const seg = encodeURIComponent

export type McpState = 'off' | 'starting' | 'ready' | 'failed' | 'needs_sign_in'

export interface McpServer {
  name: string
  /** Where it is declared. */
  source: string
  transport: 'stdio' | 'http'
  url: string | null
  state: McpState
  /** Switched off in its declaration. */
  disabled: boolean
  error: string | null
  restarts: number
  toolCount: number
  tools: { name: string; calledAs: string; description: string }[]
}

export interface McpList {
  servers: McpServer[]
  /** Declarations that cannot be used. */
  faults: string[]
}

/** A sign-in at a server. `ended`: it cannot be renewed. `missing`: a fork got its name alone. */
export type McpConnection = Schemas['McpConnection']
/** Where a person signs in. */
export type SignIn = Schemas['McpSignIn']

/** Who Toft is to a server that does not let it introduce itself. */
export interface SignInClient {
  clientId?: string
  clientSecret?: string
}

export function mcpOf(project: string) {
  const base = `/v1/projects/${seg(project)}`
  return {
    /** Only a running machine says it. */
    servers: () => call<McpList>('GET', `${base}/toft/mcp`),
    restart: (server: string) =>
      call<object>('POST', `${base}/toft/mcp/${seg(server)}/restart`, {}),
    connections: () =>
      call<{ connections: McpConnection[] }>('GET', `${base}/mcp`).then((d) => d.connections),
    connect: (server: string, client: SignInClient) =>
      call<SignIn>('POST', `${base}/mcp/${seg(server)}/connect`, client),
    disconnect: (server: string) =>
      call<{ revoked: boolean }>('POST', `${base}/mcp/${seg(server)}/disconnect`, {}),
  }
}
