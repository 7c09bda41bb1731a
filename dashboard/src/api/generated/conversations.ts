// Conversations: what the server takes and gives.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

/** What each operation takes, and the data of its answer. */
export interface Operations {
  /** `GET /v1/projects/{id}/toft/state` */
  getProjectsIdToftState: {
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/messages` */
  getProjectsIdToftMessages: {
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/sessions` */
  getProjectsIdToftSessions: {
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/sessions/new` */
  postProjectsIdToftSessionsNew: {
    body: {
      name?: string | null
      /** The file of the one that it comes from. */
      parentSession?: string | null
      /** Whether it becomes the current one: yes, unless it says no. */
      current?: boolean | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/sessions/switch` */
  postProjectsIdToftSessionsSwitch: {
    body: {
      sessionId?: string | null
      sessionPath?: string | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/sessions/compact` */
  postProjectsIdToftSessionsCompact: {
    body: {
      customInstructions?: string | null
      sessionId?: string | null
    }
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/sessions/{session}/tree` */
  getProjectsIdToftSessionsSessionTree: {
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/sessions/{session}/fork` */
  postProjectsIdToftSessionsSessionFork: {
    body: {
      /** Its last entry; where the conversation stands when absent. */
      entryId?: string | null
      name?: string | null
      /** Whether it becomes the current one: yes, unless it says no. */
      current?: boolean | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/sessions/{session}/navigate` */
  postProjectsIdToftSessionsSessionNavigate: {
    body: {
      entryId: string
      summarize?: boolean
      customInstructions?: string | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/sessions/{session}/label` */
  postProjectsIdToftSessionsSessionLabel: {
    body: {
      entryId: string
      /** Without it, it has no name any more. */
      label?: string | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/sessions/{session}/mode` */
  postProjectsIdToftSessionsSessionMode: {
    body: {
      /** What a conversation's agent may do. */
      mode: 'build' | 'plan'
    }
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/sessions/{session}/plan` */
  getProjectsIdToftSessionsSessionPlan: {
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/sessions/{session}/plan` */
  postProjectsIdToftSessionsSessionPlan: {
    body: {
      action: 'approve'
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
    } | {
      action: 'reject'
      planId?: string | null
      reason?: string | null
    }
    data: Record<string, unknown>
  }
}
