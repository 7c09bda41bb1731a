// Secrets: what the server takes and gives.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

import type { Schemas as Several } from './several'

/** What answers are made of. */
export interface Schemas {
  /** The requests that a value is put into. */
  Binding: {
    /** `api.example.com`, or `*.example.com` for all names below it; `:port` where it is not 443. */
    hosts: string[]
    /** Methods. None: every one. */
    methods: string[]
    /** Paths, exactly or with `*` at their end for all that begin so. None: every one. */
    paths: string[]
    /** Headers that the placeholder may stand in. None: `authorization`. */
    headers: string[]
  }
  /** A sign-in at an MCP server. Of one that is missing only its name and host are known. */
  McpConnection: {
    /** Name of the secret that it lies in. */
    secret: string
    server: string | null
    url: string | null
    host: string | null
    issuer: string | null
    scopes: string[] | null
    /** RFC 3339. */
    connectedAt: string | null
    connectedBy: string | null
    /** RFC 3339. */
    expiresAt: string | null
    state: Schemas['McpConnectionState']
    /** Why it has ended. */
    error: string | null
  }
  /** Where a sign-in stands. */
  McpConnectionState: 'connected' | 'ended' | 'missing'
  /** Sign-ins of a project. */
  McpConnections: {
    connections: Schemas['McpConnection'][]
  }
  /** A sign-in that was given up. */
  McpEnded: {
    /** Whether who gave it was told, and agreed. */
    revoked: boolean
  }
  /** A sign-in that a person is to finish. */
  McpSignIn: {
    /** To be opened in the person's browser. */
    authorizationUrl: string
    host: string
    serverHost: string
    scopes: string[]
    /** RFC 3339. */
    expiresAt: string
  }
  /** A secret as people see it. */
  Secret: {
    name: string
    kind: 'environment' | 'brokered' | 'mcp'
    /** Of a brokered one. */
    binding: Schemas['Binding'] | null
    state: Schemas['SecretState']
    revision: number
    setAt: number
    setBy: string | null
  }
  /** Whether there is a value. */
  SecretState: 'set' | 'missing' | 'unreadable'
  /** Secrets of a project: never their values. */
  Secrets: {
    revision: number
    /** Whether new processes of its machine find this revision; null while it does not run. */
    inForce: boolean | null
    secrets: Schemas['Secret'][]
  }
}

/** What each operation takes, and the data of its answer. */
export interface Operations {
  /** `GET /v1/projects/{id}/secrets` */
  getProjectsIdSecrets: {
    data: Schemas['Secrets']
  }
  /** `POST /v1/projects/{id}/secrets` */
  postProjectsIdSecrets: {
    body: {
      /** By their names. */
      values?: Record<string, string | {
        value: string
        /** As it is, if that is left out. */
        kind?: 'environment' | 'brokered' | null
        /** Of a brokered one: the requests that it is put into. */
        binding?: {
          /** `api.example.com`, or `*.example.com` for all names below it; `:port` where it is not 443. */
          hosts: string[]
          /** Methods. None: every one. */
          methods?: string[]
          /** Paths, exactly or with `*` at their end for all that begin so. None: every one. */
          paths?: string[]
          /** Headers that the placeholder may stand in. None: `authorization`. */
          headers?: string[]
        } | null
      }>
      /** Whether a machine that sleeps or is paused goes on with them. */
      wake?: boolean
    }
    data: Schemas['Secrets']
  }
  /** `PUT /v1/projects/{id}/secrets/{name}` */
  putProjectsIdSecretsName: {
    body: {
      value: string
      /** As it is, if that is left out. */
      kind?: 'environment' | 'brokered' | null
      /** Of a brokered one: the requests that it is put into. */
      binding?: {
        /** `api.example.com`, or `*.example.com` for all names below it; `:port` where it is not 443. */
        hosts: string[]
        /** Methods. None: every one. */
        methods?: string[]
        /** Paths, exactly or with `*` at their end for all that begin so. None: every one. */
        paths?: string[]
        /** Headers that the placeholder may stand in. None: `authorization`. */
        headers?: string[]
      } | null
    }
    data: Schemas['Secrets']
  }
  /** `DELETE /v1/projects/{id}/secrets/{name}` */
  deleteProjectsIdSecretsName: {
    data: Schemas['Secrets']
  }
  /** `POST /v1/projects/{id}/rotate-secrets` */
  postProjectsIdRotateSecrets: {
    data: Several['Done']
  }
  /** `GET /v1/projects/{id}/mcp` */
  getProjectsIdMcp: {
    data: Schemas['McpConnections']
  }
  /** `POST /v1/projects/{id}/mcp/{server}/connect` */
  postProjectsIdMcpServerConnect: {
    body: {
      /** Of a client that was made there. */
      clientId?: string | null
      clientSecret?: string | null
      /** Others than those that the server asks for. */
      scopes?: string[] | null
    }
    data: Schemas['McpSignIn']
  }
  /** `POST /v1/projects/{id}/mcp/{server}/disconnect` */
  postProjectsIdMcpServerDisconnect: {
    data: Schemas['McpEnded']
  }
}
