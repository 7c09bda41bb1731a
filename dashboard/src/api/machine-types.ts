// Shapes of what belongs to a project's machine: checkpoints, limits, disk, services, schedules,
// images. The server's own types, by the names that they have here; services are the bridge's.
import type { Operations, Schemas } from './generated'

export type Place = Schemas['Place']
export type CheckpointCause = Schemas['Cause']
export type Checkpoint = Schemas['Checkpoint']
export type KeepRule = Schemas['KeepRule']
export type CheckpointList = Schemas['Checkpoints']
export type Change = Schemas['Change']
export type AffectedSession = Schemas['AffectedSession']
export type Diff = Schemas['CheckpointDiff']
export type FileDiff = Schemas['FileDiff']
export type ForkAsk = Omit<Operations['postProjectsIdFork']['body'], 'secrets'> & {
  /** Names of secrets whose values it gets too. */
  secrets?: readonly string[]
}
export type Limits = Schemas['Limits']
export type IdleRule = Schemas['IdleRule']
export type DiskUse = Schemas['Disk']

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

export type When = Schemas['When']
export type Work = Schemas['Work']
export type Schedule = Schemas['Schedule']

/** What a person says of a schedule. */
export type ScheduleDraft = Pick<
  Schedule,
  'name' | 'when' | 'do' | 'catchUp' | 'catchUpMax' | 'overlap' | 'enabled'
>

export type Firing = Schemas['Firing']
export type Outcome = Firing['outcome']
export type Image = Schemas['Image']
export type EgressLevel = Schemas['EgressName']
export type EgressAnswer = Schemas['Egress']

/** What the machine may reach. The rules stay while another level holds. */
export type EgressSetting = Pick<EgressAnswer, 'level' | 'rules'>

/** What a change may say; null is the server's ceiling. Only admins change it. */
export type EgressChange = Operations['putProjectsIdEgress']['body']

export type EgressLine = Schemas['EgressLine']
export type OpenConnection = Schemas['OpenConnection']
export type EgressPage = Schemas['EgressLog']
