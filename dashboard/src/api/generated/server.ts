// Server: what the server takes and gives.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

import type { Schemas as Several } from './several'

/** What answers are made of. */
export interface Schemas {
  /** A backend on this host. */
  BackendReport: {
    name: string
    abilities: Several['Ability'][]
    storage: string | null
    /** Why it cannot be had, and what to do. */
    problem: string | null
  }
  /** What it can do, in the words of the Platform Agent. */
  Capabilities: {
    name: string
    actions: string[]
    constraints: Record<string, unknown>
    env: Record<string, unknown>
  }
  /** What this server is, and what there is below `/v1`. */
  Contents: {
    name: string
    status: string
    version: string
    /** Where this is told at length. */
    docs: string[]
    /** Method and path of each operation. */
    endpoints: string[]
    legacyEndpoints: string[]
  }
  /** What this host can enforce. */
  Doctor: {
    /** Of the server's own backend. */
    abilities: Several['Ability'][]
    /** Each that projects may have here, the server's own first. */
    backends: Schemas['BackendReport'][]
    version: string
    /** The server's own folder. */
    dataDir: string
    storage: string
    /** Which database it keeps its records in. */
    database: string
    /** Where traces go, and how that goes. */
    traces: Schemas['TracesReport'][]
  }
  /** Whether it answers. */
  Health: {
    status: string
    ts: string
  }
  /** How many runs and machines there are. */
  Metrics: {
    runs: Schemas['StatusCount'][]
    /** Runs by the status of their job. */
    jobs: Schemas['StatusCount'][]
    machines: Schemas['StateCount'][]
  }
  /** How many machines there are in a state. */
  StateCount: {
    state: string
    count: number
  }
  /** How many there are of a status. */
  StatusCount: {
    status: string
    count: number
  }
  /** What goes along. */
  TracesContent: {
    inputs: boolean
    outputs: boolean
  }
  /** What is wrong. */
  TracesProblem: {
    /** Unix milliseconds. */
    at: number
    code: string
    message: string
  }
  /** How it stands with a place that takes traces. */
  TracesReport: {
    sink: string
    /** Without its path. */
    endpoint: string
    content: Schemas['TracesContent']
    spansAccepted: number
    spansRejected: number
    spansLeftOut: number
    /** Unix milliseconds. */
    lastAcceptedAt: number | null
    projectsWaiting: number
    /** Unix milliseconds. */
    waitingSince: number | null
    problem: Schemas['TracesProblem'] | null
  }
}

/** What each operation takes, and the data of its answer. */
export interface Operations {
  /** `GET /` */
  getRoot: {
    data: Schemas['Contents']
  }
  /** `GET /health` */
  getRootHealth: {
    data: Schemas['Health']
  }
  /** `GET /capabilities` */
  getRootCapabilities: {
    data: Schemas['Capabilities']
  }
  /** `GET /openapi.json` */
  getRootOpenapiJson: {
    data: Record<string, unknown>
  }
  /** `GET /v1` */
  get: {
    data: Schemas['Contents']
  }
  /** `GET /v1/health` */
  getHealth: {
    data: Schemas['Health']
  }
  /** `GET /v1/capabilities` */
  getCapabilities: {
    data: Schemas['Capabilities']
  }
  /** `GET /v1/metrics` */
  getMetrics: {
    data: Schemas['Metrics']
  }
  /** `GET /v1/doctor` */
  getDoctor: {
    data: Schemas['Doctor']
  }
  /** `POST /v1/backup` */
  postBackup: {
    body: {
      /** At least 12 characters: what reads the backup again. */
      passphrase: string
      /** Projects whose files stay out of it: without that, those that cannot be had end it before it begins. */
      leaveOut?: string[]
    }
  }
  /** `POST /v1/shutdown` */
  postShutdown: {
    body: {
      stopMachines?: boolean
    }
    data: Several['Done']
  }
}
