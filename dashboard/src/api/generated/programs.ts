// Programs: what the server takes and gives.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

import type { Schemas as Several } from './several'

/** What answers are made of. */
export interface Schemas {
  /** Answer of `GET /toft/activity`. */
  Activity: {
    /** Empty: nothing forbids pausing. */
    busy: Schemas['Busy'][]
  }
  /** Work inside a machine that forbids pausing it (`GET /toft/activity`). */
  Busy: {
    /** `agent`, `tool`, `terminal` or `exec`. */
    kind: string
    /** Which one, for people: a session's name, a command. */
    what: string
  }
  /** What became of a program. */
  ExecExit: {
    /** Null when a signal ended it. */
    exitCode: number | null
    signal: number | null
    stdout: string
    stderr: string
    /** Whether there was more output than is kept. */
    truncated: boolean
    durationMs: number
    timedOut: boolean
    /** With `timedOut`: why it stood still. */
    paused: string | null
  }
  /** What was passed on. */
  Fed: {
    bytes: number
  }
}

/** What each operation takes, and the data of its answer. */
export interface Operations {
  /** `POST /v1/projects/{id}/exec` */
  postProjectsIdExec: {
    body: {
      command?: string | null
      argv?: string[] | null
      cwd?: string | null
      env?: Record<string, string>
      stdin?: string | null
      /** Standard input comes by its own route and stays open until that ends it. */
      stdinOpen?: boolean
      /** How a stream carries output. */
      encoding?: 'text' | 'base64'
      timeoutMs?: number | null
    }
    data: Schemas['ExecExit']
  }
  /** `POST /v1/projects/{id}/exec/{exec}/stdin` */
  postProjectsIdExecExecStdin: {
    data: Schemas['Fed']
  }
  /** `POST /v1/projects/{id}/exec/{exec}/signal` */
  postProjectsIdExecExecSignal: {
    body: {
      /** Signals that people and shells send. */
      signal: 'HUP' | 'INT' | 'QUIT' | 'KILL' | 'USR1' | 'USR2' | 'TERM' | 'CONT' | 'STOP'
    }
    data: Several['Done']
  }
  /** `GET /v1/projects/{id}/toft/receipts` */
  getProjectsIdToftReceipts: {
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/activity` */
  getProjectsIdToftActivity: {
    data: Schemas['Activity']
  }
  /** `GET /v1/projects/{id}/toft/terminals` */
  getProjectsIdToftTerminals: {
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/terminals` */
  postProjectsIdToftTerminals: {
    body: {
      cols: number
      rows: number
      cwd?: string | null
      /** A shell when absent. */
      command?: string | null
    }
    data: Record<string, unknown>
  }
  /** `DELETE /v1/projects/{id}/toft/terminals/{terminal}` */
  deleteProjectsIdToftTerminalsTerminal: {
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/processes` */
  getProjectsIdToftProcesses: {
    data: Record<string, unknown>
  }
  /** `DELETE /v1/projects/{id}/toft/processes/{process}` */
  deleteProjectsIdToftProcessesProcess: {
    data: Record<string, unknown>
  }
}
