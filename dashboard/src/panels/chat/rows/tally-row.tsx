// The end of a finished prompt: what changed, what ran, what it cost, how long it took.
import { useQuery } from '@tanstack/react-query'
import type { TallyRow, UserRow } from '@/api/transcript/types'
import { checkpointBefore } from '@/components/checkpoint-words'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { useAsking } from '@/stores/asking'
import { Button } from '@/ui/button'
import { useOpenPanel } from '@/hooks/dock'
import { Icon } from '@/ui/icons'
import { cx } from '@/util/class'
import { capital, count, duration, money, plural } from '@/util/format'
import { useProofs } from '../proof-context'
import { checksWords, type Proof } from '../proofs'
import { ProofLine } from './proof-line'

const REASONS: Record<string, string> = {
  aborted: 'Stopped',
  error: 'Failed',
  limit: 'Limit reached',
  length: 'Cut off at the output limit',
}

const NONE: readonly Proof[] = []

/** Programs shown of one turn; checks come first. */
const PROGRAMS_MAX = 12

export function TallyRowView({
  row,
  open,
  sessionId,
  fixed,
  onToggle,
}: {
  row: TallyRow
  open: boolean
  sessionId: string
  /** Nothing is gone back to from here. */
  fixed: boolean
  onToggle: (id: string, open: boolean) => void
}) {
  const openPanel = useOpenPanel()
  const { tally } = row
  const { usage, changed } = tally
  const { byTurn, begun, show } = useProofs()
  const words = begun.get(row.id)
  const proofs = byTurn.get(row.id) ?? NONE
  const parts = [
    REASONS[tally.reason],
    changed.length > 0 ? `changed ${plural(changed.length, 'file')}` : null,
    tally.tools > 0 ? `ran ${plural(tally.tools, 'tool')}` : null,
    checksWords(proofs),
    tally.demo
      ? 'demo, no cost'
      : usage.cost
        ? money(usage.cost.total)
        : usage.totalTokens > 0
          ? `${count(usage.totalTokens)} tokens, price unknown`
          : null,
    tally.durationMs > 0 ? `${tally.about ? 'about ' : ''}${duration(tally.durationMs)}` : null,
  ].filter((part) => part !== null && part !== undefined)
  const line = parts.join(' · ')

  return (
    <div className="border-t pt-1">
      <button
        type="button"
        aria-expanded={open}
        onClick={() => onToggle(row.id, !open)}
        className="tnum -ml-1.5 flex min-h-7 max-w-full items-center gap-1.5 rounded-md pr-2 pl-1 text-left text-sm text-ink-3 hover:bg-hover hover:text-ink-2 max-md:min-h-10"
      >
        <Icon name="chevron" width={12} height={12} className={cx(open && 'rotate-90')} />
        <span>{capital(line)}</span>
      </button>
      {open && (
        <div className="mb-1 ml-4 flex flex-col gap-2 border-l pl-3 text-sm text-ink-2">
          {changed.length > 0 && (
            <ul>
              {changed.map((path) => (
                <li key={path}>
                  <button
                    type="button"
                    onClick={() => openPanel({ kind: 'files', path })}
                    className="font-mono text-blue break-all hover:underline"
                  >
                    {path}
                  </button>
                </li>
              ))}
            </ul>
          )}
          <Ran proofs={proofs} show={show} />
          {words && !fixed && tally.tools > 0 && <Undo words={words} sessionId={sessionId} />}
          <div className="tnum text-ink-3">
            {plural(tally.turns, 'model call')}, {count(usage.input)} tokens in,{' '}
            {count(usage.output)} out
            {usage.cacheRead > 0 && `, ${count(usage.cacheRead)} from the cache`}
          </div>
        </div>
      )}
    </div>
  )
}

/** Goes back to before the turn, with all that came after it; what that means is told first. */
function Undo({ words, sessionId }: { words: UserRow; sessionId: string }) {
  const { id } = useProject()
  const { data: list } = useQuery(queries.checkpoints(id))
  const ask = useAsking((state) => state.ask)
  const checkpoint = list && checkpointBefore(list.checkpoints, sessionId, words.id)
  if (!checkpoint) return null
  const message = { sessionId, entryId: words.id, text: words.text }
  return (
    <div>
      <Button
        variant="ghost"
        icon="undo"
        className="-ml-2"
        onClick={() => ask({ kind: 'restore', checkpointId: checkpoint.id, message })}
      >
        Undo from here on…
      </Button>
    </div>
  )
}

/** What was run, as it was seen from outside. */
function Ran({
  proofs,
  show,
}: {
  proofs: readonly Proof[]
  show: (toolCallId: string) => (() => void) | null
}) {
  if (proofs.length === 0) return null
  const checks = proofs.filter((proof) => proof.checks.length > 0)
  const shown = [...checks, ...proofs.filter((proof) => proof.checks.length === 0)]
  return (
    <ul aria-label="Receipts">
      {shown.slice(0, PROGRAMS_MAX).map((proof) => (
        <ProofLine key={proof.number} proof={proof} onShow={show(proof.toolCallId)} />
      ))}
      {shown.length > PROGRAMS_MAX && (
        <li className="text-ink-3">and {shown.length - PROGRAMS_MAX} more programs</li>
      )}
    </ul>
  )
}
