// The plan that the agent proposes: to approve, to change in place and approve, or to reject with words.
import { useId, useState } from 'react'
import type { Plan } from '@/api/bridge-types'
import { wordsOf } from '@/api/http'
import type { PlanRow } from '@/api/transcript/types'
import { useProject } from '@/hooks/live'
import { useMachineState } from '@/hooks/machine'
import { usePlanEdits } from '../plan-edits'
import { Button } from '@/ui/button'
import { CONTROL } from '@/ui/field'
import { Glyph, type Shape, type Tone } from '@/ui/glyph'
import { toast } from '@/ui/toasts'
import { cx } from '@/util/class'
import { plural } from '@/util/format'
import { PlanForm } from './plan-form'
import { PlanSteps } from './plan-steps'

const LOOKS: Record<PlanRow['state'], { shape: Shape; tone: Tone; word: string }> = {
  proposed: { shape: 'ask', tone: 'amber', word: 'Needs you' },
  approved: { shape: 'tick', tone: 'moss', word: 'Approved' },
  rejected: { shape: 'cross', tone: 'quiet', word: 'Rejected' },
  dropped: { shape: 'square', tone: 'quiet', word: 'Not taken up' },
}

export function PlanRowView({
  row,
  live,
  sessionId,
}: {
  row: PlanRow
  /** Nothing goes on. */
  live: boolean
  sessionId: string
}) {
  const { plan, state } = row
  const look = LOOKS[state]
  const waits = state === 'proposed'
  const heading = useId()
  return (
    <section
      aria-labelledby={heading}
      className={cx('rounded-md border bg-surface', waits && 'border-l-2 border-l-amber')}
    >
      <h2 id={heading} className="flex min-h-9 items-center gap-2 border-b px-3">
        <Glyph shape={look.shape} tone={look.tone} />
        <span className="font-medium">Plan</span>
        <span className="tnum text-sm text-ink-3">
          {plural(plan.todos.length, 'step')}
          {plan.source === 'edited' && ', changed by you'}
        </span>
        <span className={cx('ml-auto text-sm', waits ? 'text-amber-text' : 'text-ink-3')}>
          {look.word}
        </span>
      </h2>
      {waits ? (
        <Proposed row={row} live={live} sessionId={sessionId} />
      ) : (
        <div className="p-3">
          <PlanSteps plan={plan} />
          {state !== 'approved' && <Later planId={plan.planId} sessionId={sessionId} />}
        </div>
      )}
    </section>
  )
}

/** One that was rejected or not taken up can be approved as long as there is no other. */
function Later({ planId, sessionId }: { planId: string; sessionId: string }) {
  const { live } = useProject()
  const { closed } = useMachineState()
  const [busy, setBusy] = useState(false)
  const approve = () => {
    setBusy(true)
    live.bridge
      .approvePlan(sessionId, planId, null)
      .catch((error: unknown) => toast.error('The plan was not approved', wordsOf(error)))
      .finally(() => setBusy(false))
  }
  return (
    <Button variant="ghost" className="mt-2 -ml-2.5" disabled={closed || busy} onClick={approve}>
      {busy ? 'Approving…' : 'Approve it after all'}
    </Button>
  )
}

function Proposed({ row, live, sessionId }: { row: PlanRow; live: boolean; sessionId: string }) {
  const { plan } = row
  const { live: project } = useProject()
  const { closed } = useMachineState()
  const { edits, set } = usePlanEdits()
  const [rejecting, setRejecting] = useState(false)
  const [reason, setReason] = useState('')
  const [doing, setDoing] = useState<'approve' | 'reject' | null>(null)
  const [error, setError] = useState<string | null>(null)
  const edited = edits[plan.planId] ?? null
  const empty = edited?.todos.some((todo) => todo.title.trim() === '') ?? false

  const decide = async (what: 'approve' | 'reject', act: () => Promise<unknown>) => {
    setDoing(what)
    setError(null)
    try {
      await act()
      set(plan.planId, null)
    } catch (cause) {
      setError(
        `The plan was not ${what === 'approve' ? 'approved' : 'rejected'}: ${wordsOf(cause)}`,
      )
    } finally {
      setDoing(null)
    }
  }
  const approve = () =>
    void decide('approve', () =>
      project.bridge.approvePlan(sessionId, plan.planId, edited && tidy(edited)),
    )
  const reject = () =>
    void decide('reject', () => project.bridge.rejectPlan(sessionId, plan.planId, reason.trim()))

  return (
    <form
      aria-label="Decide on the plan"
      onSubmit={(event) => {
        event.preventDefault()
        if (rejecting && !doing) reject()
      }}
    >
      <fieldset disabled={closed || !live || doing !== null} className="min-w-0">
        <div className="p-3">
          {edited ? (
            <PlanForm plan={edited} onChange={(next) => set(plan.planId, next)} />
          ) : (
            <PlanSteps plan={plan} />
          )}
        </div>
        <div className="flex flex-wrap items-center gap-2 border-t px-3 py-2">
          {rejecting ? (
            <>
              <input
                // The person has just asked to say it.
                // oxlint-disable-next-line jsx-a11y/no-autofocus
                autoFocus
                value={reason}
                onChange={(event) => setReason(event.target.value)}
                onKeyDown={(event) => {
                  if (event.key === 'Escape') setRejecting(false)
                }}
                aria-label="What should be different"
                placeholder="What should be different?"
                className={cx(CONTROL, 'min-w-40 grow basis-60')}
              />
              <Button type="submit" className="h-8">
                {doing === 'reject' ? 'Rejecting…' : reason.trim() ? 'Reject and say so' : 'Reject'}
              </Button>
              <Button variant="ghost" className="h-8" onClick={() => setRejecting(false)}>
                Cancel
              </Button>
            </>
          ) : (
            <>
              <Button variant="primary" className="h-8" disabled={empty} onClick={approve}>
                {doing === 'approve'
                  ? 'Approving…'
                  : edited
                    ? 'Approve as changed'
                    : 'Approve and build'}
              </Button>
              {edited ? (
                <Button className="h-8" onClick={() => set(plan.planId, null)}>
                  Discard changes
                </Button>
              ) : (
                <Button className="h-8" onClick={() => set(plan.planId, bare(plan))}>
                  Edit
                </Button>
              )}
              <Button className="h-8" onClick={() => setRejecting(true)}>
                Reject…
              </Button>
            </>
          )}
        </div>
      </fieldset>
      {empty && <p className="px-3 pb-2 text-sm text-ink-3">Each step needs a title.</p>}
      {closed && (
        <p className="px-3 pb-2 text-sm text-ink-3">It can be decided on when the machine runs.</p>
      )}
      {error && (
        <div role="alert" className="px-3 pb-2 text-sm break-words text-red-text">
          {error}
        </div>
      )}
    </form>
  )
}

const bare = ({ summary, todos }: Plan): Plan => ({ summary, todos })

/** Without empty lines of criteria. */
function tidy(plan: Plan): Plan {
  const todos = plan.todos.map(({ id, title, details, acceptanceCriteria }) => ({
    id,
    title: title.trim(),
    ...(details?.trim() ? { details: details.trim() } : {}),
    acceptanceCriteria: (acceptanceCriteria ?? []).map((line) => line.trim()).filter(Boolean),
  }))
  return { summary: plan.summary.trim(), todos }
}
