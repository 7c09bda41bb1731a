// Sign-in and keys: what the server takes and gives.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

import type { Schemas as Several } from './several'

/** What answers are made of. */
export interface Schemas {
  /** An API key, without what opens. */
  ApiKey: {
    id: string
    name: string
    /** How the key begins. */
    prefix: string
    scopes: Schemas['Scope'][]
    /** The only project that it opens; null: all. */
    projectId: string | null
    /** Unix milliseconds. */
    createdAt: number
    /** Who made it; null where a key did, or the person is gone. */
    createdBy: string | null
    /** Unix milliseconds; null: never. */
    expiresAt: number | null
    expired: boolean
    /** Unix milliseconds; null: never. */
    lastUsedAt: number | null
  }
  /** All keys. */
  ApiKeys: {
    keys: Schemas['ApiKey'][]
  }
  /** Who asks, and what server this is. */
  Me: {
    user: Schemas['User']
    server: Schemas['ThisServer']
  }
  /** A key that was just made. */
  NewApiKey: {
    id: string
    name: string
    /** How the key begins. */
    prefix: string
    scopes: Schemas['Scope'][]
    /** The only project that it opens; null: all. */
    projectId: string | null
    /** Unix milliseconds. */
    createdAt: number
    /** Who made it; null where a key did, or the person is gone. */
    createdBy: string | null
    /** Unix milliseconds; null: never. */
    expiresAt: number | null
    expired: boolean
    /** Unix milliseconds; null: never. */
    lastUsedAt: number | null
    /** What opens: told this once. */
    key: string
  }
  /** A person. */
  OneUser: {
    user: Schemas['User']
  }
  /** A key that opens nothing any more. */
  Revoked: {
    id: string
    revoked: boolean
  }
  /** What a key opens. */
  Scope: 'models' | 'read' | 'admin'
  /** What a person may do, as the API says it. */
  ShownRole: 'admin' | 'member'
  /** A link that signs in once. */
  SignInLink: {
    url: string
    /** RFC 3339. */
    expiresAt: string
  }
  /** The server that answers. */
  ThisServer: {
    version: string
    /** By which name it was asked. */
    host: string | null
    /** Addresses of previews, with `{label}` for the project's; null where they go by port. */
    previewPattern: string | null
    /** What makes machines of projects that name nothing else: `native`, `host`, `oci` or `e2b`. */
    backend: string
    /** All that projects and runs may name here as `workspaceBackend`. */
    backends: string[]
    /** Whether no provider but the scripted one can be asked. */
    demoOnly: boolean
  }
  /** A person, or a key in the place of one. */
  User: {
    id: string
    name: string
    /** Null of a key. */
    email: string | null
    role: Schemas['ShownRole']
    hasPassword: boolean
  }
}

/** What each operation takes, and the data of its answer. */
export interface Operations {
  /** `POST /v1/auth/password` */
  postAuthPassword: {
    body: {
      email: string
      password: string
    }
    data: Schemas['OneUser']
  }
  /** `POST /v1/auth/sign-out` */
  postAuthSignOut: {
    data: Several['Done']
  }
  /** `POST /v1/sign-in-links` */
  postSignInLinks: {
    data: Schemas['SignInLink']
  }
  /** `GET /v1/me` */
  getMe: {
    data: Schemas['Me']
  }
  /** `PATCH /v1/me` */
  patchMe: {
    body: {
      name?: string | null
      email?: string | null
      password?: string | null
      currentPassword?: string | null
    }
    data: Schemas['OneUser']
  }
  /** `GET /v1/keys` */
  getKeys: {
    data: Schemas['ApiKeys']
  }
  /** `POST /v1/keys` */
  postKeys: {
    body: {
      name: string
      scopes: ('models' | 'read' | 'admin')[]
      project?: string | null
      expiresAt?: number | null
    }
    data: Schemas['NewApiKey']
  }
  /** `DELETE /v1/keys/{id}` */
  deleteKeysId: {
    data: Schemas['Revoked']
  }
}
