// Agent: what the server takes and gives.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

/** What each operation takes, and the data of its answer. */
export interface Operations {
  /** `POST /v1/projects/{id}/toft/prompt` */
  postProjectsIdToftPrompt: {
    body: {
      message: string
      images?: {
        /** In base64. */
        data: string
        mimeType: string
      }[]
      /** What becomes of it while the agent works: it waits, unless it is to steer. */
      streamingBehavior?: 'steer' | 'followUp' | null
      /** The conversation; the current one when absent. */
      sessionId?: string | null
      /** Its name: sent again under it, it is not said twice. */
      entryId?: string | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/steer` */
  postProjectsIdToftSteer: {
    body: {
      message: string
      images?: {
        /** In base64. */
        data: string
        mimeType: string
      }[]
      /** What becomes of it while the agent works: it waits, unless it is to steer. */
      streamingBehavior?: 'steer' | 'followUp' | null
      /** The conversation; the current one when absent. */
      sessionId?: string | null
      /** Its name: sent again under it, it is not said twice. */
      entryId?: string | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/follow-up` */
  postProjectsIdToftFollowUp: {
    body: {
      message: string
      images?: {
        /** In base64. */
        data: string
        mimeType: string
      }[]
      /** What becomes of it while the agent works: it waits, unless it is to steer. */
      streamingBehavior?: 'steer' | 'followUp' | null
      /** The conversation; the current one when absent. */
      sessionId?: string | null
      /** Its name: sent again under it, it is not said twice. */
      entryId?: string | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/abort` */
  postProjectsIdToftAbort: {
    body: {
      sessionId?: string | null
      /** Whether what waits is dropped: yes, unless it says no. */
      clearQueue?: boolean | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/retry` */
  postProjectsIdToftRetry: {
    body: {
      /** The conversation; the current one when absent. */
      sessionId?: string | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/queue` */
  postProjectsIdToftQueue: {
    body: {
      sessionId?: string | null
      steering?: string[] | null
      followUp?: string[] | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/answer` */
  postProjectsIdToftAnswer: {
    body: {
      toolCallId: string
      answer: string
      sessionId?: string | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/config` */
  postProjectsIdToftConfig: {
    body: {
      provider?: string | null
      modelId?: string | null
      /** `off`, `minimal`, `low`, `medium`, `high` or `xhigh`. */
      thinkingLevel?: string | null
      appPort?: number | null
      /** `all` or `one-at-a-time`. */
      steeringMode?: string | null
      /** `all` or `one-at-a-time`. */
      followUpMode?: string | null
      autoCompactionEnabled?: boolean | null
      /** Replaced whole. */
      rules?: unknown[] | null
      /** Replaced whole. */
      limits?: unknown
      autoCheck?: boolean | null
      checkCommand?: string | null
      sessionName?: string | null
      sessionId?: string | null
    }
    data: Record<string, unknown>
  }
}
