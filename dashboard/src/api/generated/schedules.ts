// Schedules: what the server takes and gives.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

/** What answers are made of. */
export interface Schemas {
  /** What becomes of slots whose time passed while nobody could start them. */
  CatchUp: 'latest' | 'none' | 'all'
  /** Of what was deleted. */
  DeletedScheduleId: {
    id: string
    deleted: boolean
  }
  /** What became of a slot, or of several. Times are Unix milliseconds. */
  Firing: {
    id: string
    slot: number
    lastSlot: number
    /** How many slots it stands for. */
    slots: number
    byHand: boolean
    outcome: 'running' | 'fired' | 'late' | 'skipped' | 'suppressed' | 'failed'
    /** Why it came to that. */
    reason: string | null
    /** Whether it waits for the end of the one before. */
    waiting: boolean
    startedAt: number | null
    endedAt: number | null
    exitCode: number | null
    output: string | null
    sessionId: string | null
  }
  /** What became of slots. */
  Firings: {
    /** Newest slot first. */
    firings: Schemas['Firing'][]
  }
  /** What becomes of a slot that is due while the one before still runs. */
  Overlap: 'skip' | 'queue' | 'cancel' | 'allow'
  /** A schedule. Times are Unix milliseconds. */
  Schedule: {
    id: string
    name: string
    when: Schemas['When']
    do: Schemas['Work']
    catchUp: Schemas['CatchUp']
    catchUpMax: number
    overlap: Schemas['Overlap']
    enabled: boolean
    timeoutMs: number
    /** Null when there is no slot to come. */
    nextAt: number | null
    createdAt: number
    updatedAt: number
    lastFiring: Schemas['Firing'] | null
  }
  /** A schedule, with its next slots. */
  ScheduleAhead: {
    id: string
    name: string
    when: Schemas['When']
    do: Schemas['Work']
    catchUp: Schemas['CatchUp']
    catchUpMax: number
    overlap: Schemas['Overlap']
    enabled: boolean
    timeoutMs: number
    /** Null when there is no slot to come. */
    nextAt: number | null
    createdAt: number
    updatedAt: number
    lastFiring: Schemas['Firing'] | null
    upcoming: number[]
  }
  /** Schedules of a project. */
  Schedules: {
    schedules: Schemas['Schedule'][]
  }
  /** When it is due. */
  When: {
    /** Five fields, as crontab(5) has them. */
    cron: string
    /** A name of the tz database; UTC when absent. */
    timezone?: string | null
  } | {
    /** Seconds between two. */
    everyS: number
  } | {
    /** Unix milliseconds. */
    at: number
  }
  /** What runs. */
  Work: {
    /** A line for the shell, as `exec` takes it. */
    command: string
  } | {
    /** The text. */
    prompt: string
    /** In which conversation; a new one each time when absent. */
    sessionId?: string | null
  }
}

/** What each operation takes, and the data of its answer. */
export interface Operations {
  /** `GET /v1/projects/{id}/schedules` */
  getProjectsIdSchedules: {
    data: Schemas['Schedules']
  }
  /** `POST /v1/projects/{id}/schedules` */
  postProjectsIdSchedules: {
    body: {
      name?: string | null
      when?: {
        /** Five fields, as crontab(5) has them. */
        cron: string
        /** A name of the tz database; UTC when absent. */
        timezone?: string | null
      } | {
        /** Seconds between two. */
        everyS: number
      } | {
        /** Unix milliseconds. */
        at: number
      } | null
      do?: {
        /** A line for the shell, as `exec` takes it. */
        command: string
      } | {
        /** The text. */
        prompt: string
        /** In which conversation; a new one each time when absent. */
        sessionId?: string | null
      } | null
      catchUp?: 'latest' | 'none' | 'all' | null
      catchUpMax?: number | null
      overlap?: 'skip' | 'queue' | 'cancel' | 'allow' | null
      enabled?: boolean | null
      timeoutMs?: number | null
    }
    data: Schemas['Schedule']
  }
  /** `GET /v1/projects/{id}/schedules/{sid}` */
  getProjectsIdSchedulesSid: {
    data: Schemas['ScheduleAhead']
  }
  /** `PATCH /v1/projects/{id}/schedules/{sid}` */
  patchProjectsIdSchedulesSid: {
    body: {
      name?: string | null
      when?: {
        /** Five fields, as crontab(5) has them. */
        cron: string
        /** A name of the tz database; UTC when absent. */
        timezone?: string | null
      } | {
        /** Seconds between two. */
        everyS: number
      } | {
        /** Unix milliseconds. */
        at: number
      } | null
      do?: {
        /** A line for the shell, as `exec` takes it. */
        command: string
      } | {
        /** The text. */
        prompt: string
        /** In which conversation; a new one each time when absent. */
        sessionId?: string | null
      } | null
      catchUp?: 'latest' | 'none' | 'all' | null
      catchUpMax?: number | null
      overlap?: 'skip' | 'queue' | 'cancel' | 'allow' | null
      enabled?: boolean | null
      timeoutMs?: number | null
    }
    data: Schemas['Schedule']
  }
  /** `DELETE /v1/projects/{id}/schedules/{sid}` */
  deleteProjectsIdSchedulesSid: {
    data: Schemas['DeletedScheduleId']
  }
  /** `GET /v1/projects/{id}/schedules/{sid}/firings` */
  getProjectsIdSchedulesSidFirings: {
    data: Schemas['Firings']
  }
  /** `POST /v1/projects/{id}/schedules/{sid}/run` */
  postProjectsIdSchedulesSidRun: {
    data: Schemas['Firing']
  }
}
