// Shapes of what belongs to a project's machine: checkpoints, limits, disk, services, schedules,
// images. As docs/http-api.md has them.

/** Where a conversation stood. */
export interface Place {
  sessionId: string
  /** Its last entry then; null while it was empty. */
  leafEntryId: string | null
}

export type CheckpointCause = 'manual' | 'prompt' | 'restore' | 'fork'

export interface Checkpoint {
  id: string
  projectId: string
  label: string | null
  cause: CheckpointCause
  createdAt: number
  seq: number
  base: string
  sessions: Place[]
  /** The user message before which it was taken. */
  message: Place | null
}

/** Which automatic checkpoints are kept. */
export interface KeepRule {
  last: number
  hourly: number
  daily: number
}

export interface CheckpointList {
  checkpoints: Checkpoint[]
  rule: KeepRule
  automatic: boolean
  /** Why none are taken, where that is so. */
  why?: string | null
}

export interface Change {
  path: string
  kind: 'added' | 'modified' | 'removed' | 'replaced'
  sizeBefore: number | null
  sizeAfter: number | null
}

export interface AffectedSession {
  sessionId: string
  name: string | null
  messagesAfter: number
}

export interface Diff {
  changes: Change[]
  truncated: boolean
  affectedSessions: AffectedSession[]
}

export interface FileDiff {
  path: string
  unified: string | null
  /** Why there is no text: binary, too large. */
  note?: string | null
}

export interface ForkAsk {
  name?: string
  checkpointId?: string
  sessionId?: string
  entryId?: string
  count?: number
  /** Names of secrets whose values it gets too. */
  secrets?: readonly string[]
}

export interface Limits {
  memoryBytes: number | null
  cpus: number | null
  pids: number | null
  diskBytes: number | null
  logBytes: number | null
}

export interface IdleRule {
  freezeAfterS: number | null
  coldAfterS: number | null
}

/** What a backend can do with its machines. */
export interface Can {
  checkpoint: boolean
  liveCheckpoint: boolean
  fork: boolean
  freeze: boolean
  /** `memory`, `pids`, `cpu`, `disk`, `log`: those that are enforced. */
  limits: string[]
  egress: boolean
}

/** Null where nothing counts it. */
export interface DiskUse {
  /** Written by the project and its checkpoints, and still there. */
  exclusiveBytes: number | null
  /** Held by it, written by others. */
  sharedBytes: number | null
  quotaBytes: number | null
  /** Its log folder, beside its disk. */
  logBytes: number | null
  /** Of all projects, checkpoints and images. */
  totalBytes: number | null
  capBytes: number | null
  freeBytes: number | null
  /** With less free, automatic checkpoints go. */
  yieldBelowBytes: number | null
}

export type ServiceState = 'running' | 'exited' | 'failed' | 'backoff' | 'stopped'

/** What a supervised service's process does. */
export interface ServiceProcess {
  state: ServiceState
  pid: number | null
  restarts: number
  exitCode: number | null
  /** Unix ms of when it came into this state. */
  since: number | null
  /** Secrets were changed since it was started. */
  restartToApply?: boolean
  /** What stands in its way, for people. */
  problem?: string | null
}

export type When = { cron: string; timezone?: string | null } | { everyS: number } | { at: number }

export type Work = { command: string } | { prompt: string; sessionId?: string | null }

export interface ScheduleDraft {
  name: string
  when: When
  do: Work
  catchUp: 'latest' | 'none' | 'all'
  /** How many are made up for with `all`. */
  catchUpMax: number
  overlap: 'skip' | 'queue' | 'cancel' | 'allow'
  enabled: boolean
}

export interface Schedule extends ScheduleDraft {
  id: string
  nextAt: number | string | null
  createdAt: number | string
}

export type Outcome = 'running' | 'fired' | 'late' | 'skipped' | 'suppressed' | 'failed'

export interface Firing {
  id: string
  /** A person had it run; it was not due. */
  byHand: boolean
  /** Due, until the one before has ended. */
  waiting: boolean
  /** Slots in a row that share this record, up to `lastSlot`. */
  slots: number
  lastSlot: number | string
  /** The last part of what a command printed. */
  output: string | null
  slot: number | string
  outcome: Outcome
  reason: string | null
  startedAt: number | string | null
  endedAt: number | string | null
  exitCode: number | null
  sessionId: string | null
}

export interface Image {
  key: string
  name: string
  kind: 'host' | 'folder' | 'tarball' | 'oci' | 'template'
  source: string | null
  createdAt: number | string
  bytes: number | null
  state: 'making' | 'ready' | 'failed'
  reason?: string | null
  default: boolean
}

export type EgressLevel = 'none' | 'allow-list' | 'open'

/** What the machine may reach. The rules stay while another level holds. */
export interface EgressSetting {
  level: EgressLevel
  rules: string[]
}

/** What a change may say; null is the server's ceiling. Only admins change it. */
export type EgressChange = Partial<EgressSetting> & { ceiling?: EgressLevel | null }

export interface EgressAnswer extends EgressSetting {
  /** Nothing of its own: the server's. */
  isDefault: boolean
  /** The widest level that the project may have. A wider setting stays, and the ceiling holds. */
  ceiling: EgressLevel
  /** That is the server's. */
  ceilingIsDefault: boolean
  /** The narrower one of level and ceiling. */
  inForce: EgressLevel
  /** False where programs may go out past the gateway. */
  enforced: boolean
  /** Open connections that were no longer allowed and end. */
  cut: number
}

/** Of one connection, or of one request in plain HTTP, or of its refusal; or of several equal ones. */
export interface EgressLine {
  seq: number
  at: string
  /** Begin of the last, when it stands for several. */
  lastAt: string | null
  count: number
  /** `https`: a request that was read, as a brokered secret is bound to its host. */
  via: 'connect' | 'http' | 'direct' | 'https'
  /** Null: of several hosts, more at once than the log tells apart. */
  host: string | null
  port: number | null
  verdict: 'allow' | 'deny'
  rule: string
  /** Names of the brokered secrets whose values were put in. */
  secrets: string[]
  reason: string | null
  bytesIn: number
  bytesOut: number
  durationMs: number
  error: string | null
  /** The rule that would allow it, where one can. */
  allowRule: string | null
}

export type OpenConnection = Pick<EgressLine, 'at' | 'via' | 'rule' | 'bytesIn' | 'bytesOut'> & {
  id: number
  host: string
  port: number
}

export interface EgressPage {
  /** Newest first. */
  lines: EgressLine[]
  open: OpenConnection[]
  end: number
}
