// Shapes of the runs API: the server's own types, by the names that they have here.
import type { Schemas } from '../generated'

export type RunStatus = Schemas['RunStatus']
export type RunPhase = Schemas['Phase']
export type WaitsFor = Schemas['WaitsFor']
export type RunCost = Schemas['RunCost']
export type Run = Schemas['Run']

/** Whether it may be cancelled, as the server sees it: nothing that is not over stands behind it in its project. */
export function canCancel(run: Run, all: readonly Run[]): boolean {
  return !isOver(run) && !all.some((other) => other.runIndex > run.runIndex && !isOver(other))
}

/** Whether nothing will change any more. */
export function isOver({ status }: Pick<Run, 'status'>): boolean {
  return status === 'completed' || status === 'error' || status === 'cancelled'
}
