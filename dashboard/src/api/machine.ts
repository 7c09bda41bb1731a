// The server's routes of one project's machine: its copies, limits, rest and schedules.
import { call } from './http'
import type {
  AffectedSession,
  Checkpoint,
  CheckpointList,
  Diff,
  DiskUse,
  EgressAnswer,
  EgressChange,
  EgressPage,
  FileDiff,
  Firing,
  ForkAsk,
  IdleRule,
  KeepRule,
  Limits,
  Schedule,
  ScheduleDraft,
} from './machine-types'
import type { Machine, Project } from './types'

const seg = encodeURIComponent

export interface Restored {
  checkpoint: Checkpoint
  /** Taken just before. */
  before: Checkpoint
  affectedSessions: AffectedSession[]
  machine: Machine
}

/** Calls for one project. */
export function machineOf(project: string) {
  const base = `/v1/projects/${seg(project)}`
  const one = (checkpoint: string) => `${base}/checkpoints/${seg(checkpoint)}`
  const schedule = (id: string) => `${base}/schedules/${seg(id)}`
  return {
    checkpoints: () => call<CheckpointList>('GET', `${base}/checkpoints`),
    keep: (label?: string) =>
      call<Checkpoint>('POST', `${base}/checkpoints`, label ? { label } : {}),
    relabel: (checkpoint: string, label: string | null) =>
      call<Checkpoint>('PATCH', one(checkpoint), { label }),
    removeCheckpoint: (checkpoint: string) => call<object>('DELETE', one(checkpoint)),
    /** From the checkpoint to another one, or `now`. */
    diff: (checkpoint: string, to: string) =>
      call<Diff>('GET', `${one(checkpoint)}/diff?to=${seg(to)}`),
    fileDiff: (checkpoint: string, path: string, to: string) =>
      call<FileDiff>('GET', `${one(checkpoint)}/diff?to=${seg(to)}&path=${seg(path)}`),
    restore: (checkpoint: string, force: boolean) =>
      call<Restored>('POST', `${one(checkpoint)}/restore`, force ? { force } : {}),
    /** To the checkpoint before a user message. */
    restoreMessage: (sessionId: string, entryId: string, force: boolean) =>
      call<Restored>('POST', `${base}/restore-message`, {
        sessionId,
        entryId,
        ...(force ? { force } : {}),
      }),
    /** What is left out stays as it is. */
    setRule: (rule: KeepRule & { automatic?: boolean }) =>
      call<KeepRule & { automatic: boolean }>('PUT', `${base}/checkpoint-rule`, rule),
    fork: (ask: ForkAsk) =>
      call<{ projects: Project[] }>('POST', `${base}/fork`, ask).then((made) => made.projects),

    freeze: () => call<Machine>('POST', `${base}/freeze`, {}),
    thaw: () => call<Machine>('POST', `${base}/thaw`, {}),
    sleep: () => call<Machine>('POST', `${base}/sleep`, {}),
    setLimits: (limits: Limits) =>
      call<{ limits: Limits; enforced: string[] }>('PUT', `${base}/limits`, limits),
    setIdle: (rule: IdleRule) => call<IdleRule>('PUT', `${base}/idle`, rule),
    disk: () => call<DiskUse>('GET', `${base}/disk`),

    egress: () => call<EgressAnswer>('GET', `${base}/egress`),
    setEgress: (change: EgressChange) => call<EgressAnswer>('PUT', `${base}/egress`, change),
    /** One more rule, whatever others have added meanwhile. */
    addEgressRule: (rule: string) => call<EgressAnswer>('POST', `${base}/egress/rules`, { rule }),
    egressLog: (before?: number) =>
      call<EgressPage>(
        'GET',
        `${base}/egress/log${before === undefined ? '' : `?before=${before}`}`,
      ),
    /** What came after; answered when something comes, or after a while. */
    egressNews: (after: number, waitMs: number) =>
      call<EgressPage>('GET', `${base}/egress/log?after=${after}&waitMs=${waitMs}&limit=1000`),

    schedules: () =>
      call<Schedule[] | { schedules: Schedule[] }>('GET', `${base}/schedules`).then((list) =>
        Array.isArray(list) ? list : list.schedules,
      ),
    addSchedule: (draft: ScheduleDraft) => call<Schedule>('POST', `${base}/schedules`, draft),
    changeSchedule: (id: string, change: Partial<ScheduleDraft>) =>
      call<Schedule>('PATCH', schedule(id), change),
    removeSchedule: (id: string) => call<object>('DELETE', schedule(id)),
    firings: (id: string) =>
      call<Firing[] | { firings: Firing[] }>('GET', `${schedule(id)}/firings`).then((list) =>
        Array.isArray(list) ? list : list.firings,
      ),
    runSchedule: (id: string) => call<Firing>('POST', `${schedule(id)}/run`, {}),
  }
}
