// One receipt: in a line of a turn, and with all that it says.
import { Glyph } from '@/ui/glyph'
import { Ago } from '@/ui/time'
import { cx } from '@/util/class'
import { duration } from '@/util/format'
import { commandOf, endOf, proofLook, shortHash, staleWords, type Proof } from '../proofs'

/** Of one that is shown in a line. */
const COMMAND_CHARS_MAX = 200

export function ProofLine({ proof, onShow }: { proof: Proof; onShow: (() => void) | null }) {
  const { shape, tone, word } = proofLook(proof)
  const stale = proof.stale === true
  const words = staleWords(proof)
  const command = (
    <code
      className={cx(
        'block min-w-0 truncate',
        stale && 'text-ink-3',
        // Beside its glyph, with the rest below.
        !onShow && 'max-md:basis-[calc(100%-20px)]',
      )}
    >
      {commandOf(proof).replaceAll(/\s+/g, ' ').slice(0, COMMAND_CHARS_MAX)}
    </code>
  )
  return (
    <li className="flex min-h-7 items-center gap-2 max-md:flex-wrap max-md:gap-y-0 max-md:py-1">
      <Glyph shape={shape} tone={tone} title={word} />
      {onShow ? (
        <button
          type="button"
          title="Show the call"
          onClick={onShow}
          className="min-w-0 rounded-sm text-left hover:underline max-md:basis-[calc(100%-20px)]"
        >
          {command}
        </button>
      ) : (
        command
      )}
      <span className="tnum ml-auto flex shrink-0 items-center gap-2 pl-2 text-ink-3 max-md:ml-0 max-md:pl-5">
        {proof.exitCode !== 0 && <span>{endOf(proof)}</span>}
        {words && <span>{words}</span>}
        {proof.tree && (
          <code className="max-md:hidden" title={proof.tree.hash}>
            {shortHash(proof.tree.hash)}
          </code>
        )}
        <span className="min-w-11 text-right">{duration(proof.endedAt - proof.startedAt)}</span>
      </span>
    </li>
  )
}

/** All of it. */
export function ProofFacts({ proof }: { proof: Proof }) {
  const { shape, tone, word } = proofLook(proof)
  const { number, startedAt, endedAt, tree, stale } = proof
  const words = staleWords(proof)
  return (
    <>
      <h2 className="flex items-center gap-2 font-medium">
        <Glyph shape={shape} tone={tone} />
        Receipt {number}: {word}
      </h2>
      <pre className="mt-2 max-h-32 overflow-auto rounded-md bg-sunk px-2 py-1.5 text-sm break-words whitespace-pre-wrap">
        {commandOf(proof)}
      </pre>
      <dl className="tnum mt-2 grid grid-cols-[auto_1fr] gap-x-3 gap-y-0.5 text-sm">
        <dt className="text-ink-3">Ended</dt>
        <dd>
          {endOf(proof)}, after {duration(endedAt - startedAt)}
        </dd>
        <dt className="text-ink-3">When</dt>
        <dd>
          <Ago at={endedAt} />
        </dd>
        {(tree || words) && (
          <>
            <dt className="text-ink-3">Files</dt>
            <dd className={cx(stale === true && 'text-amber-text')}>
              {[tree && String(tree.files), words].filter(Boolean).join(', ')}
              {tree && (
                <code className="ml-2 text-ink-3" title={tree.hash}>
                  {shortHash(tree.hash)}
                </code>
              )}
            </dd>
          </>
        )}
      </dl>
      <p className="mt-2 text-sm text-pretty text-ink-3">
        Written by the machine’s first process, not by the agent.
      </p>
    </>
  )
}
