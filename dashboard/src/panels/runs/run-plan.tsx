// The plan of a run. While it waits for a person it is the one of the conversation, to be decided on as
// there.
import type { Plan } from '@/api/bridge-types'
import { isOver, type Run } from '@/api/runs/types'
import { useSession } from '@/hooks/live'
import { PlanRowView } from '@/panels/chat/rows/plan-row'
import { PlanSteps } from '@/panels/chat/rows/plan-steps'
import { plural } from '@/util/format'

export function RunPlan({ run, plan }: { run: Run; plan: Plan | null }) {
  if (run.waitsFor === 'approval' && run.sessionId && !isOver(run)) {
    return <WaitingPlan sessionId={run.sessionId} plan={plan} />
  }
  return plan && <ReadPlan plan={plan} />
}

function WaitingPlan({ sessionId, plan }: { sessionId: string; plan: Plan | null }) {
  const view = useSession(sessionId)
  const row =
    view.state === 'ready'
      ? view.transcript.rows.findLast((each) => each.kind === 'plan')
      : undefined
  if (view.state !== 'ready' || row?.kind !== 'plan') {
    return (
      <>
        {plan && <ReadPlan plan={plan} />}
        {view.state === 'failed' && (
          <p role="alert" className="text-sm break-words text-red-text">
            It cannot be decided on here just now: {view.error}
          </p>
        )}
      </>
    )
  }
  return <PlanRowView row={row} live={view.transcript.status !== 'working'} sessionId={sessionId} />
}

function ReadPlan({ plan }: { plan: Plan }) {
  return (
    <section aria-label="Plan">
      <h3 className="mb-1 flex items-baseline gap-2 font-semibold">
        Plan
        <span className="tnum text-sm font-normal text-ink-3">
          {plural(plan.todos.length, 'step')}
        </span>
      </h3>
      <PlanSteps plan={plan} />
    </section>
  )
}
