// Comparisons: what the server takes and gives.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

import type { Schemas as Several } from './several'

/** What answers are made of. */
export interface Schemas {
  /** A path that differs, and how many lines of it. */
  CandidateChange: {
    /** As seen inside the machine (`/home/project/app.py`). Bytes that are no UTF-8 are replaced. */
    path: string
    /** How. */
    kind: Several['ChangeKind']
    /** Bytes of the file before, if it was one. */
    sizeBefore: number | null
    /** Bytes of the file after, if it is one. */
    sizeAfter: number | null
    /** Lines that came; null where they were not counted. */
    added: number | null
    /** Lines that went. */
    removed: number | null
  }
  /** What differs: of all paths, or of one file. */
  CandidateCompared: Schemas['CandidateDiff'] | Several['FileDiff']
  /** What a candidate has changed. */
  CandidateDiff: {
    changes: Schemas['CandidateChange'][]
    /** Whether there are more. */
    truncated: boolean
    /** Lines that came, of the project's files. */
    added: number
    /** Lines that went. */
    removed: number
    /** False: there are files of the project among them whose lines were not counted: binary, long or many. */
    counted: boolean
  }
  /** Several runs of one prompt, side by side. Times are RFC 3339. */
  Comparison: {
    id: string
    projectId: string
    status: 'making' | 'open' | 'keeping' | 'dropping' | 'kept' | 'dropped' | 'failed'
    /** What went wrong last. */
    error: string | null
    prompt: string
    /** The checkpoint that all began from. */
    baseCheckpointId: string | null
    keptRunId: string | null
    candidates: Several['Candidate'][]
    createdAt: string
    updatedAt: string
  }
}

/** What each operation takes, and the data of its answer. */
export interface Operations {
  /** `GET /v1/projects/{id}/comparisons` */
  getProjectsIdComparisons: {
    data: Schemas['Comparison'][]
  }
  /** `GET /v1/projects/{id}/comparisons/{comparison}` */
  getProjectsIdComparisonsComparison: {
    data: Schemas['Comparison']
  }
  /** `GET /v1/projects/{id}/comparisons/{comparison}/candidates/{run}/diff` */
  getProjectsIdComparisonsComparisonCandidatesRunDiff: {
    data: Schemas['CandidateCompared']
  }
  /** `POST /v1/projects/{id}/comparisons/{comparison}/keep` */
  postProjectsIdComparisonsComparisonKeep: {
    body: {
      /** The candidate, by its run. */
      runId: string
    }
    data: Schemas['Comparison']
  }
  /** `POST /v1/projects/{id}/comparisons/{comparison}/drop` */
  postProjectsIdComparisonsComparisonDrop: {
    data: Schemas['Comparison']
  }
}
