// An answer that says how checks went: each such place leads to its receipt, or says that there is none.
import { useCallback, useMemo, useState, type ReactNode } from 'react'
import type { Claim } from '@/api/receipts'
import { Prose } from '@/components/prose'
import { Button } from '@/ui/button'
import { Glyph } from '@/ui/glyph'
import { Popover } from '@/ui/popover'
import { useProofs } from '../proof-context'
import { claimLook } from '../proofs'
import { ProofFacts } from './proof-line'

export function ClaimedText({ text, claims }: { text: string; claims: readonly Claim[] }) {
  // A text that is not the one that was read is left alone.
  const fitting = useMemo(
    () => claims.filter(({ start, end, text: said }) => text.slice(start, end) === said),
    [claims, text],
  )
  const marks = useMemo(() => fitting.map(({ start, end }, at) => ({ at, start, end })), [fitting])
  const draw = useCallback(
    (at: number, words: ReactNode) => {
      const claim = fitting[at]
      return claim ? <Claimed claim={claim}>{words}</Claimed> : words
    },
    [fitting],
  )
  return <Prose text={text} marks={marks} drawMark={draw} />
}

function Claimed({ claim, children }: { claim: Claim; children: ReactNode }) {
  const { byNumber, show } = useProofs()
  const [open, setOpen] = useState(false)
  const proof = claim.receipt === null ? null : (byNumber.get(claim.receipt) ?? null)
  const look = claimLook(claim, proof)
  const bring = proof && show(proof.toolCallId)
  return (
    <Popover
      label="Receipt"
      open={open}
      onOpenChange={setOpen}
      className="w-84 p-3"
      trigger={
        <a
          href={claim.receipt === null ? '#no-receipt' : `#receipt-${claim.receipt}`}
          role="button"
          onClick={(event) => {
            // It leads nowhere but here; the trigger leaves alone what was prevented.
            event.preventDefault()
            setOpen(!open)
          }}
          onKeyDown={(event) => {
            // A link does nothing on Space; a button does.
            if (event.key !== ' ') return
            event.preventDefault()
            setOpen(!open)
          }}
          className="claim"
          data-tone={look.tone}
        >
          {children}
          {/* The glyph stays with its words. */}
          <span aria-hidden="true">{'\u2060'}</span>
          <span className="mx-0.5 inline-block align-baseline">
            <Glyph shape={look.shape} tone={look.tone} title={look.word} />
          </span>
        </a>
      }
    >
      {claim.receipt === null ? (
        <NoReceipt kind={claim.kind} />
      ) : proof ? (
        <>
          <ProofFacts proof={proof} />
          {claim.proof === 'undecided' && (
            <p className="mt-2 text-sm text-pretty text-ink-2">
              It ended well, but as it was run that says nothing of the {claim.kind}: what came
              behind it decided.
            </p>
          )}
          {bring && (
            <Button
              className="mt-3"
              onClick={() => {
                setOpen(false)
                bring()
              }}
            >
              Show the call
            </Button>
          )}
        </>
      ) : (
        <p className="text-ink-2">Receipt {claim.receipt} is not at hand just now.</p>
      )}
    </Popover>
  )
}

const KINDS: Record<Claim['kind'], string> = {
  test: 'tests',
  lint: 'a linter',
  build: 'a build',
  check: 'a check',
}

function NoReceipt({ kind }: { kind: Claim['kind'] }) {
  return (
    <>
      <h2 className="font-medium">No receipt</h2>
      <p className="mt-1 text-pretty text-ink-2">
        The agent says so, but nothing that it ran for this prompt was recognised as {KINDS[kind]}.
        Ask it to run them, and to say what came of it.
      </p>
    </>
  )
}
