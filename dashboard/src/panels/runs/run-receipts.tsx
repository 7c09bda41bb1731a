// What a run's agent had run, by the word of the machine's first process: checks, and all else folded away.
import { useQuery } from '@tanstack/react-query'
import type { Run } from '@/api/runs/types'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { checksWords, type Proof } from '@/panels/chat/proofs'
import { ProofLine } from '@/panels/chat/rows/proof-line'
import { momentOf, plural } from '@/util/format'

/** A program's end may be written down a moment after the run's. */
const LATE_MS = 5000

export function RunReceipts({ run }: { run: Run }) {
  const { id } = useProject()
  const { sessionId, startedAt, completedAt } = run
  const { data } = useQuery({
    ...queries.receipts(id, sessionId ?? ''),
    enabled: sessionId !== null,
  })
  const from = momentOf(startedAt)
  const until = completedAt ? momentOf(completedAt) + LATE_MS : Number.POSITIVE_INFINITY
  // Its conversation may have had other runs, and goes on with a person.
  const own = data?.filter(({ startedAt: at }) => at >= from && at <= until) ?? []
  const checks = own.filter((proof) => proof.checks.length > 0)
  const rest = own.filter((proof) => proof.checks.length === 0)
  if (own.length === 0) return null
  return (
    <section aria-label="Receipts">
      <h3 className="mb-1 flex items-baseline gap-2 font-semibold">
        Receipts
        <span className="tnum text-sm font-normal text-ink-3">
          {checksWords(checks) ?? 'no checks ran'}
        </span>
      </h3>
      <Lines proofs={checks} />
      {rest.length > 0 && (
        <details>
          <summary className="w-fit text-sm text-ink-3 hover:text-ink-2">
            {plural(rest.length, 'other program')}
          </summary>
          <Lines proofs={rest} />
        </details>
      )}
    </section>
  )
}

function Lines({ proofs }: { proofs: readonly Proof[] }) {
  if (proofs.length === 0) return null
  return (
    <ul>
      {proofs.map((proof) => (
        <ProofLine key={proof.number} proof={proof} onShow={null} />
      ))}
    </ul>
  )
}
