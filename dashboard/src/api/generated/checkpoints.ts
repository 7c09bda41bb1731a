// Checkpoints: what the server takes and gives.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

import type { Schemas as Several } from './several'

/** What answers are made of. */
export interface Schemas {
  /** A path that differs. */
  Change: {
    /** As seen inside the machine (`/home/project/app.py`). Bytes that are no UTF-8 are replaced. */
    path: string
    /** How. */
    kind: Several['ChangeKind']
    /** Bytes of the file before, if it was one. */
    sizeBefore: number | null
    /** Bytes of the file after, if it is one. */
    sizeAfter: number | null
  }
  /** Paths that differ. */
  CheckpointDiff: {
    changes: Schemas['Change'][]
    truncated: boolean
    affectedSessions: Several['AffectedSession'][]
  }
  /** The rule on the wire. */
  CheckpointRule: {
    last: number
    hourly: number
    daily: number
    automatic: boolean
  }
  /** Checkpoints of a project. */
  Checkpoints: {
    /** Newest first. */
    checkpoints: Schemas['ListedCheckpoint'][]
    rule: Schemas['KeepRule']
    /** Whether one is taken before each prompt. */
    automatic: boolean
    /** What is to be known when one was not taken, or fewer are kept than the rule says. */
    why?: string | null
  }
  /** What differs: of all paths, or of one file. */
  Compared: Schemas['CheckpointDiff'] | Several['FileDiff']
  /** Of what was deleted. */
  DeletedCheckpointId: {
    id: string
    deleted: boolean
  }
  /** Which automatic checkpoints are kept. Those that a person asked for or labelled stay until they are deleted. */
  KeepRule: {
    /** The newest ones. */
    last: number
    /** The newest one of each of the last hours that have any. */
    hourly: number
    /** The newest one of each of the last days (UTC) that have any. */
    daily: number
  }
  /** A checkpoint in the list, with the beginning of its message when that is asked for and known. */
  ListedCheckpoint: {
    /** Which. */
    id: string
    /** Of which project. */
    projectId: string
    /** A name that a person gave it. */
    label: string | null
    /** Why it was taken. */
    cause: Several['Cause']
    /** Unix milliseconds. */
    createdAt: number
    /** Number of the project's last event that is in it. */
    seq: number
    /** Identity of what the disk lies over: the host's programs, or an image. */
    base: string
    /** Where each conversation stood. */
    sessions: Several['Place'][]
    /** The user message before which it was taken, for `Cause::Prompt`. */
    message: Several['Place'] | null
    prompt?: string | null
    /** The backend that it lies with, when the project has moved to another since: it can be forked, and gone back to when the project is there again. */
    backend?: string | null
  }
}

/** What each operation takes, and the data of its answer. */
export interface Operations {
  /** `GET /v1/projects/{id}/checkpoints` */
  getProjectsIdCheckpoints: {
    data: Schemas['Checkpoints']
  }
  /** `POST /v1/projects/{id}/checkpoints` */
  postProjectsIdCheckpoints: {
    body: {
      label?: string | null
    }
    data: Several['Checkpoint']
  }
  /** `GET /v1/projects/{id}/checkpoints/{checkpoint}` */
  getProjectsIdCheckpointsCheckpoint: {
    data: Several['Checkpoint']
  }
  /** `PATCH /v1/projects/{id}/checkpoints/{checkpoint}` */
  patchProjectsIdCheckpointsCheckpoint: {
    body: {
      /** Null takes it off; it must be there. */
      label?: string | null
    }
    data: Several['Checkpoint']
  }
  /** `DELETE /v1/projects/{id}/checkpoints/{checkpoint}` */
  deleteProjectsIdCheckpointsCheckpoint: {
    data: Schemas['DeletedCheckpointId']
  }
  /** `GET /v1/projects/{id}/checkpoints/{checkpoint}/diff` */
  getProjectsIdCheckpointsCheckpointDiff: {
    data: Schemas['Compared']
  }
  /** `POST /v1/projects/{id}/checkpoints/{checkpoint}/restore` */
  postProjectsIdCheckpointsCheckpointRestore: {
    body: {
      force?: boolean | null
      /** Where a conversation stood. */
      place?: {
        /** Which. */
        sessionId: string
        /** Its last entry then; none while it was empty. */
        leafEntryId?: string | null
      } | null
    }
    data: Several['Restored']
  }
  /** `PUT /v1/projects/{id}/checkpoint-rule` */
  putProjectsIdCheckpointRule: {
    body: {
      last?: number | null
      hourly?: number | null
      daily?: number | null
      automatic?: boolean | null
    }
    data: Schemas['CheckpointRule']
  }
  /** `POST /v1/projects/{id}/restore-message` */
  postProjectsIdRestoreMessage: {
    body: {
      sessionId: string
      entryId: string
      force?: boolean | null
    }
    data: Several['Restored']
  }
}
