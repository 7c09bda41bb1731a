// Where a conversation's newest plan stands among its rows, and the list of steps that comes of it.
import type { PlanReady, PlanState, TodoItem } from '../bridge-types'
import type { Row } from './types'

/** How the message begins that has a plan carried out. */
export const ORDER = 'Carry out this plan. It is approved.'

/** The rows with this plan as the only one: below the answer that it was read from, else in the place of
 * the plan that it was made of, else at `end`. */
export function withPlan(
  rows: readonly Row[],
  plan: PlanReady,
  state: PlanState,
  end = rows.length,
): Row[] {
  const row: Row = { kind: 'plan', id: `plan:${plan.planId}`, plan, state }
  const answer = rows.findLastIndex((each) => 'messageId' in each && each.messageId === plan.of)
  const before = rows.findLastIndex((each) => each.kind === 'plan')
  const at = answer >= 0 ? answer + 1 : before >= 0 ? before : end
  return [...rows.slice(0, at), row, ...rows.slice(at)]
    .filter((each) => each.kind !== 'plan' || each === row)
    .map((each) =>
      each.kind === 'text' && each.messageId === plan.of && plan.source === 'json'
        ? { ...each, planned: true }
        : each,
    )
}

/** The rows with what became of a plan, or null when nothing changes. Without an id: of one that waits. */
export function settled(
  rows: readonly Row[],
  planId: string | null,
  state: PlanState,
): Row[] | null {
  const row = rows.findLast((each) => each.kind === 'plan')
  if (row?.kind !== 'plan') return null
  if (planId === null ? row.state !== 'proposed' : row.plan.planId !== planId) return null
  return rows.map((each) => (each === row ? { ...row, state } : each))
}

const STATUSES = new Set<unknown>(['pending', 'in_progress', 'completed'])

/** The list in what the tool `todo` gave back. */
export function todosIn(details: unknown): TodoItem[] | null {
  if (typeof details !== 'object' || details === null || !('items' in details)) return null
  if (!Array.isArray(details.items)) return null
  return details.items.filter(
    (item): item is TodoItem =>
      typeof item === 'object' &&
      item !== null &&
      typeof item.content === 'string' &&
      STATUSES.has(item.status),
  )
}

/** The list of a conversation whose state does not say it. */
export function todosOf(rows: readonly Row[]): TodoItem[] {
  const row = rows.findLast(
    (each) => each.kind === 'tool' && each.name === 'todo' && each.state === 'done',
  )
  return (row?.kind === 'tool' ? todosIn(row.details) : null) ?? []
}

/** The steps of a plan, none begun. */
export function stepsOf(rows: readonly Row[], planId: string): TodoItem[] | null {
  const row = rows.findLast((each) => each.kind === 'plan' && each.plan.planId === planId)
  if (row?.kind !== 'plan') return null
  return row.plan.todos.map(({ title }) => ({ content: title, status: 'pending' }))
}
