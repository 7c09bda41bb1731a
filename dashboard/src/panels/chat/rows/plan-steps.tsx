// A plan to read: its summary, its steps in order, what holds when each is done.
import type { Plan } from '@/api/bridge-types'
import { Ticked } from '@/components/ticked'

export function PlanSteps({ plan }: { plan: Plan }) {
  return (
    <>
      {plan.summary && (
        <p className="mb-2 max-w-[72ch] text-md text-pretty break-words whitespace-pre-wrap">
          <Ticked text={plan.summary} />
        </p>
      )}
      <ol aria-label="Steps of the plan" className="flex flex-col gap-2">
        {plan.todos.map((todo, at) => (
          <li key={todo.id} className="flex gap-2">
            <span className="tnum w-5 shrink-0 pt-px text-right text-ink-3">{at + 1}.</span>
            <div className="max-w-[68ch] min-w-0">
              <div className="font-medium text-pretty break-words">
                <Ticked text={todo.title} />
              </div>
              {todo.details && (
                <div className="text-pretty break-words whitespace-pre-wrap text-ink-2">
                  <Ticked text={todo.details} />
                </div>
              )}
              {todo.acceptanceCriteria && todo.acceptanceCriteria.length > 0 && (
                <ul className="mt-0.5 text-sm text-ink-2">
                  {todo.acceptanceCriteria.map((criterion, place) => (
                    // Criteria have no identity but their place.
                    // oxlint-disable-next-line react/no-array-index-key
                    <li key={place} className="text-pretty break-words">
                      <span className="text-ink-3">Done when</span> <Ticked text={criterion} />
                    </li>
                  ))}
                </ul>
              )}
            </div>
          </li>
        ))}
      </ol>
    </>
  )
}
