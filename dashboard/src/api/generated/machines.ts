// Machines: what the server takes and gives.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

import type { Schemas as Several } from './several'

/** What answers are made of. */
export interface Schemas {
  /** What is counted, and what had to be looked for. */
  Disk: {
    /** Bytes that it and its checkpoints have written, and that still exist; up to half a minute old. What a fork has from its origin is not among them. Only where something counts them. */
    exclusiveBytes: number | null
    /** The bound of that, if it has one that is in force. */
    quotaBytes: number | null
    /** Bytes that all projects together may still write. */
    freeBytes: number | null
    /** With less free than this, automatic checkpoints yield. */
    yieldBelowBytes: number | null
    /** Bytes that all projects, their checkpoints, images and templates take. Only where they have a disk image of their own. */
    totalBytes: number | null
    /** The bound of that. */
    capBytes: number | null
    sharedBytes: number | null
    logBytes: number | null
  }
  /** What a machine may use. */
  MachineLimits: {
    limits: Several['Limits']
    /** Names of those that are enforced here. */
    enforced: string[]
  }
}

/** What each operation takes, and the data of its answer. */
export interface Operations {
  /** `GET /v1/projects/{id}/machine` */
  getProjectsIdMachine: {
    data: Several['Machine']
  }
  /** `POST /v1/projects/{id}/start` */
  postProjectsIdStart: {
    data: Several['Machine']
  }
  /** `POST /v1/projects/{id}/stop` */
  postProjectsIdStop: {
    data: Several['Machine']
  }
  /** `POST /v1/projects/{id}/wake` */
  postProjectsIdWake: {
    data: Several['Machine']
  }
  /** `POST /v1/projects/{id}/sleep` */
  postProjectsIdSleep: {
    data: Several['Machine']
  }
  /** `POST /v1/projects/{id}/freeze` */
  postProjectsIdFreeze: {
    data: Several['Machine']
  }
  /** `POST /v1/projects/{id}/thaw` */
  postProjectsIdThaw: {
    data: Several['Machine']
  }
  /** `GET /v1/projects/{id}/limits` */
  getProjectsIdLimits: {
    data: Schemas['MachineLimits']
  }
  /** `PUT /v1/projects/{id}/limits` */
  putProjectsIdLimits: {
    body: {
      memoryBytes?: number | null
      cpus?: number | null
      pids?: number | null
      diskBytes?: number | null
      logBytes?: number | null
    }
    data: Schemas['MachineLimits']
  }
  /** `GET /v1/projects/{id}/idle` */
  getProjectsIdIdle: {
    data: Several['IdleRule']
  }
  /** `PUT /v1/projects/{id}/idle` */
  putProjectsIdIdle: {
    body: {
      freezeAfterS?: number | null
      coldAfterS?: number | null
    }
    data: Several['IdleRule']
  }
  /** `GET /v1/projects/{id}/disk` */
  getProjectsIdDisk: {
    data: Schemas['Disk']
  }
}
