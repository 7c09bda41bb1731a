// Projects: what the server takes and gives.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

import type { Schemas as Several } from './several'

/** What answers are made of. */
export interface Schemas {
  /** What an agent does. */
  AgentStatus: 'idle' | 'working' | 'waiting' | 'error'
  /** Which comparison a fork belongs to. */
  CandidateOf: {
    /** The project that was forked. */
    projectId: string
    comparisonId: string
  }
  /** Of what was deleted. */
  DeletedProjectId: {
    id: string
    deleted: boolean
  }
  /** What was forked. */
  Forks: {
    projects: Schemas['Project'][]
  }
  /** A project that was asked for. */
  MadeProject: {
    id: string
    /** A name of the caller's own for it. */
    alias: string | null
    name: string
    /** Where its app is shown, for who has an entry (`POST …/preview`). */
    url: string
    state: Several['MachineState']
    /** Why it is so, where something is wrong. */
    stateReason: string | null
    /** What makes its machine: `native`, `host`, `oci` or `e2b`. */
    backend: string
    /** Its newest run. */
    latestRunId: string | null
    /** RFC 3339. */
    createdAt: string
    /** RFC 3339. */
    updatedAt: string
    agentStatus: Schemas['AgentStatus']
    /** Whether it was made now. */
    created: boolean
  }
  /** A project that was looked at alone. */
  OneProject: {
    id: string
    /** A name of the caller's own for it. */
    alias: string | null
    name: string
    /** Where its app is shown, for who has an entry (`POST …/preview`). */
    url: string
    state: Several['MachineState']
    /** Why it is so, where something is wrong. */
    stateReason: string | null
    /** What makes its machine: `native`, `host`, `oci` or `e2b`. */
    backend: string
    /** Its newest run. */
    latestRunId: string | null
    /** RFC 3339. */
    createdAt: string
    /** RFC 3339. */
    updatedAt: string
    agentStatus: Schemas['AgentStatus']
    /** It is a fork whose run is compared with others. */
    candidateOf: Schemas['CandidateOf'] | null
  }
  /** What opens a preview, once. */
  PreviewEntry: {
    url: string
    /** RFC 3339. */
    expiresAt: string
  }
  /** A project. */
  Project: {
    id: string
    /** A name of the caller's own for it. */
    alias: string | null
    name: string
    /** Where its app is shown, for who has an entry (`POST …/preview`). */
    url: string
    state: Several['MachineState']
    /** Why it is so, where something is wrong. */
    stateReason: string | null
    /** What makes its machine: `native`, `host`, `oci` or `e2b`. */
    backend: string
    /** Its newest run. */
    latestRunId: string | null
    /** RFC 3339. */
    createdAt: string
    /** RFC 3339. */
    updatedAt: string
    agentStatus: Schemas['AgentStatus']
  }
}

/** What each operation takes, and the data of its answer. */
export interface Operations {
  /** `GET /v1/projects` */
  getProjects: {
    data: Schemas['Project'][]
  }
  /** `POST /v1/projects` */
  postProjects: {
    body: {
      id?: string | null
      name?: string | null
      image?: string | null
      /** What to change; what is left out stays. */
      egress?: {
        level?: 'none' | 'allow-list' | 'open' | null
        rules?: string[] | null
        /** `null`: the server's. */
        ceiling?: 'none' | 'allow-list' | 'open' | null
      } | null
      /** What is to make its machine: `native`, `host`, `oci` or `e2b`, as far as the server offers it; the server's own when absent. */
      workspaceBackend?: string | null
      /** False: its machine is made by the first who needs it, on that one's server. */
      start?: boolean | null
    }
    data: Schemas['MadeProject']
  }
  /** `GET /v1/projects/{id}` */
  getProjectsId: {
    data: Schemas['OneProject']
  }
  /** `PATCH /v1/projects/{id}` */
  patchProjectsId: {
    body: {
      name: string
    }
    data: Schemas['Project']
  }
  /** `DELETE /v1/projects/{id}` */
  deleteProjectsId: {
    data: Schemas['DeletedProjectId']
  }
  /** `POST /v1/projects/{id}/preview` */
  postProjectsIdPreview: {
    body: {
      port?: number | null
    }
    data: Schemas['PreviewEntry']
  }
  /** `POST /v1/projects/{id}/fork` */
  postProjectsIdFork: {
    body: {
      name?: string | null
      checkpointId?: string | null
      sessionId?: string | null
      entryId?: string | null
      count?: number | null
      /** Values that a fork gets. */
      secrets?: string[] | 'all'
    }
    data: Schemas['Forks']
  }
}
