// What the agent says. A plan in it is shown as a plan, not as the JSON that it was asked for.
import { useMemo } from 'react'
import type { Plan, PlanTodo } from '@/api/bridge-types'
import type { TextRow } from '@/api/transcript/types'
import { Prose } from '@/components/prose'
import { ClaimedText } from './claimed-text'
import { PlanSteps } from './plan-steps'

const FENCE = /^```(?:json)?[ \t]*\n(\{[\s\S]*?\})\s*\n```[ \t]*$/m

export function AnswerText({ row }: { row: TextRow }) {
  const { text, streaming, planned } = row
  const parts = useMemo(
    () => (streaming ? null : (aroundPlan(text) ?? (planned ? aroundJson(text) : null))),
    [text, streaming, planned],
  )
  if (!parts) {
    return row.claims && !streaming ? (
      <ClaimedText text={text} claims={row.claims} />
    ) : (
      <Prose text={text} />
    )
  }
  return (
    <>
      {parts.before && <Prose text={parts.before} />}
      {!planned && parts.plan && (
        <div className="my-2 border-l pl-3">
          <PlanSteps plan={parts.plan} />
        </div>
      )}
      {parts.after && <Prose text={parts.after} />}
    </>
  )
}

interface Parts {
  before: string
  plan: Plan | null
  after: string
}

/** The words around JSON in which the server found a plan under other names. */
function aroundJson(text: string): Parts | null {
  const fence = FENCE.exec(text)
  if (!fence) return null
  const after = text.slice(fence.index + fence[0].length).trim()
  return { before: text.slice(0, fence.index).trim(), plan: null, after }
}

/** The words around the plan of an answer; null when it has none. */
export function aroundPlan(text: string): Parts | null {
  const fence = FENCE.exec(text)
  const json = fence?.[1] ?? (text.trimStart().startsWith('{') ? text : null)
  if (!json) return null
  try {
    const plan = planOf(JSON.parse(json))
    if (!plan) return null
    return fence
      ? {
          before: text.slice(0, fence.index).trim(),
          plan,
          after: text.slice(fence.index + fence[0].length).trim(),
        }
      : { before: '', plan, after: '' }
  } catch {
    return null
  }
}

/** As the server reads it when it is put as it was asked for. */
function planOf(value: unknown): Plan | null {
  if (typeof value !== 'object' || value === null) return null
  const { summary, todos } = value as Record<string, unknown>
  if (typeof summary !== 'string' || !Array.isArray(todos)) return null
  const steps = todos.map((todo, at) => todoOf(todo, at)).filter((todo) => todo !== null)
  return steps.length > 0 ? { summary, todos: steps } : null
}

function todoOf(value: unknown, at: number): PlanTodo | null {
  if (typeof value !== 'object' || value === null) return null
  const { title, details, acceptanceCriteria } = value as Record<string, unknown>
  if (typeof title !== 'string') return null
  return {
    id: String(at + 1),
    title,
    ...(typeof details === 'string' ? { details } : {}),
    ...(Array.isArray(acceptanceCriteria)
      ? { acceptanceCriteria: acceptanceCriteria.filter((each) => typeof each === 'string') }
      : {}),
  }
}
