// Runs: what the server takes and gives.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

import type { Schemas as Several } from './several'

/** What answers are made of. */
export interface Schemas {
  /** A message, and the run that it makes. */
  AcceptedMessage: {
    run: Schemas['AcceptedRun']
    message: Schemas['RunSaid']
  }
  /** A run, when it was accepted. */
  AcceptedRun: {
    id: string
    projectId: string
    status: Several['RunStatus']
    /** Its number in the project, from 1. */
    runIndex: number
    /** Whether it is the project's latest. */
    writable: boolean
    parentRunId: string | null
    /** Whether this request made it; false: it was known by its key. */
    created: boolean
  }
  /** Work that was asked for: one run, or several that are compared. */
  AcceptedWork: Schemas['AcceptedRun'] | Schemas['MadeComparison']
  /** What became of a cancel. */
  CancelledRun: {
    id: string
    projectId: string
    status: Several['RunStatus']
    /** Whether this ended it. */
    cancelled: boolean
    writable: boolean
  }
  /** What became of the commit. */
  Commit: {
    result: 'made'
    /** Its hash. */
    commitSha: string
  } | {
    result: 'skipped'
    /** Why. */
    reason: string
  } | {
    result: 'failed'
    /** Git's words. */
    error: string
  }
  /** A comparison that was asked for. */
  MadeComparison: {
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
    /** Whether this request made it; false: it was known by its key. */
    created: boolean
  }
  /** A plan of a conversation. */
  PlanReady: {
    /** Its entry in the conversation. */
    planId: string
    /** The answer that it was read from; of an edited one, the plan before. */
    of?: string | null
    /** Where it was read from. */
    source: Schemas['PlanSource']
    /** In a few sentences. */
    summary: string
    /** Its steps, in order. */
    todos: Schemas['PlanTodo'][]
  }
  /** Where a plan was read from. */
  PlanSource: 'json' | 'list' | 'text' | 'edited'
  /** One step of a plan. */
  PlanTodo: {
    /** Unique in its plan; made up where there is none. */
    id: string
    /** In a line. */
    title: string
    /** More of it. */
    details?: string | null
    /** What holds when it is done. */
    acceptanceCriteria?: string[]
  }
  /** A message of a run. */
  RunMessage: {
    id: string
    projectId: string
    runId: string
    /** `user` or `assistant`. */
    role: 'user' | 'assistant'
    content: string
    /** JSON that came with it. */
    input: unknown
    /** RFC 3339. */
    createdAt: string
  }
  /** Where a run is, by the word of its bridge: `GET /toft/runs/{id}`. */
  RunNow: {
    /** Which run. */
    id: string
    /** The largest one that it was handed over with. */
    fence: number
    /** How often it was tried. */
    attempt: number
    /** The conversation that it goes on in. */
    sessionId: string
    /** The phase that it is in. */
    phase: Several['Phase']
    /** How it ended; `None`: it has not. */
    status: Several['RunStatus'] | null
    /** What it waits for. */
    waitsFor: Several['WaitsFor'] | null
    /** The plan that it builds, or that waits; not in lists. */
    plan?: Schemas['PlanReady'] | null
    /** What became of the commit. */
    commit: Schemas['Commit'] | null
    /** What went wrong. */
    error: string | null
    /** The last number of the event log before its first event. */
    afterSeq: number
    /** The number of its last event, once it is over. */
    endSeq: number | null
  }
  /** What was said to a run. */
  RunSaid: {
    role: string
    content: string
    /** RFC 3339. */
    createdAt: string
  }
}

/** What each operation takes, and the data of its answer. */
export interface Operations {
  /** `GET /v1/projects/{id}/toft/runs` */
  getProjectsIdToftRuns: {
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/runs/{job}` */
  getProjectsIdToftRunsJob: {
    data: Schemas['RunNow']
  }
  /** `PUT /v1/projects/{id}/toft/runs/{job}` */
  putProjectsIdToftRunsJob: {
    body: {
      /** Grows with each owner. An order with a smaller one is from an owner that lost it. */
      fence: number
      /** 1 for the first. A larger one than the known, with a larger fence, tries a run again that ended in an error. */
      attempt?: number
      /** What is to be done. */
      prompt: string
      /** The conversation that it goes on in; a new one when absent. */
      sessionId?: string | null
      /** Who answers; the project's choice when absent. */
      model?: {
        /** Provider id, for example `anthropic`; `demo` is the scripted one. */
        provider: string
        /** Model id as the provider names it. */
        id: string
      } | null
      /** Whether a plan comes before the work. */
      plan: boolean
      /** Whether that plan waits for a person. */
      approval?: boolean
      /** Whether what changed is committed, when it lies in a git repository. */
      commit: boolean
      /** Author of the commit; git's own settings when absent. */
      author?: {
        /** Name. */
        name: string
        /** Address. */
        email: string
      } | null
      /** Committer; the author when absent. */
      committer?: {
        /** Name. */
        name: string
        /** Address. */
        email: string
      } | null
      /** Seconds that planning may take, by the wall clock, also while no bridge runs. Those in which a person is waited for do not count. */
      planTimeoutS: number
      /** The same of building. */
      buildTimeoutS: number
      /** What the agent has for it. */
      rules?: {
        /** Whether the agent has the tools `sandbox_cmd`, `project_actions` and `run_code`; when absent, where the project has a `package.json`, or where `allowed_tools` names one of them. */
        projectTools?: boolean | null
        /** Names of the tools that it has, `*` at the end for all that begin so; all when absent. */
        allowedTools?: string[] | null
        /** Whether it may have others do pieces of the work. */
        subagents?: boolean
        /** Whether those tools may install, build and check types, and run code. */
        installs?: boolean
        /** Whether the project's own check runs after the work, where the project itself has it so. */
        autoCheck?: boolean
        /** How often the model is asked to mend what the check says. */
        checkFixesMax?: number
        /** Milliseconds that one run of the check may take. */
        checkTimeoutMs?: number
        /** Milliseconds that a program of those tools may take where the call says nothing. */
        cmdTimeoutMs?: number
        /** Characters of each output stream that those tools answer with. */
        outputCharsMax?: number
      }
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/runs/{job}/cancel` */
  postProjectsIdToftRunsJobCancel: {
    body: {
      fence: number
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/runs/{job}/approve` */
  postProjectsIdToftRunsJobApprove: {
    body: {
      planId?: string | null
      /** The plan as it was changed. */
      plan?: {
        /** In a few sentences. */
        summary: string
        /** Its steps, in order. */
        todos: ({
          /** Unique in its plan; made up where there is none. */
          id?: string
          /** In a line. */
          title: string
          /** More of it. */
          details?: string | null
          /** What holds when it is done. */
          acceptanceCriteria?: string[]
        })[]
      } | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/runs/{job}/reject` */
  postProjectsIdToftRunsJobReject: {
    body: {
      planId?: string | null
      reason?: string | null
    }
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/runs` */
  getProjectsIdRuns: {
    data: Several['Run'][]
  }
  /** `POST /v1/projects/{id}/runs` */
  postProjectsIdRuns: {
    body: {
      /** What is to be done. */
      prompt: string
      /** So many runs of it, each in a fork of its own, to be compared. */
      n?: number | null
      /** The same, one for each of these models. */
      models?: ({
        provider?: string | null
        model?: string | null
      })[] | null
      /** Which of the project's secrets those forks have. */
      secrets?: string[] | 'all' | null
      /** JSON that is kept with it. */
      input?: unknown
      /** The answer is its events. */
      stream?: boolean | null
      provider?: string | null
      model?: string | null
      /** `native`, `oci`, `host` or `e2b`, as far as the server offers it. */
      workspaceBackend?: string | null
      /** A person decides on its plan before anything is built. */
      approval?: boolean | null
      /** Larger ones go first, among those of other projects. */
      priority?: number | null
    }
    data: Schemas['AcceptedWork']
  }
  /** `POST /v1/projects/{id}/messages` */
  postProjectsIdMessages: {
    body: {
      /** What is to be done, after what was said before. */
      content: string
      /** JSON that is kept with it. */
      input?: unknown
      /** The answer is its events. */
      stream?: boolean | null
      provider?: string | null
      model?: string | null
      /** `native`, `oci`, `host` or `e2b`, as far as the server offers it. */
      workspaceBackend?: string | null
      /** A person decides on its plan before anything is built. */
      approval?: boolean | null
      /** Larger ones go first, among those of other projects. */
      priority?: number | null
    }
    data: Schemas['AcceptedMessage']
  }
  /** `GET /v1/projects/{id}/runs/{run}` */
  getProjectsIdRunsRun: {
    data: Several['Run']
  }
  /** `GET /v1/projects/{id}/runs/{run}/messages` */
  getProjectsIdRunsRunMessages: {
    data: Schemas['RunMessage'][]
  }
  /** `POST /v1/projects/{id}/runs/{run}/cancel` */
  postProjectsIdRunsRunCancel: {
    data: Schemas['CancelledRun']
  }
  /** `POST /v1/projects/{id}/runs/{run}/restore` */
  postProjectsIdRunsRunRestore: {
    body: {
      force?: boolean | null
    }
    data: Several['Restored']
  }
}
