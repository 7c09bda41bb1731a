// The receipts of the conversation that is shown, for the rows that speak of them.
import { useQuery } from '@tanstack/react-query'
import { createContext, use, useMemo } from 'react'
import type { Row, UserRow } from '@/api/transcript/types'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { beginnings, proofsByTurn, type Proof } from './proofs'

export interface Proofs {
  byNumber: ReadonlyMap<number, Proof>
  /** By the row that ends the turn. */
  byTurn: ReadonlyMap<string, Proof[]>
  /** The words that a turn began with, by the row that ends it. */
  begun: ReadonlyMap<string, UserRow>
  /** Brings the call of a receipt into sight, opened; null where it has no row. */
  show: (toolCallId: string) => (() => void) | null
}

const NONE: Proofs = {
  byNumber: new Map(),
  byTurn: new Map(),
  begun: new Map(),
  show: () => null,
}
const NO_PROOFS: readonly Proof[] = []

export const ProofContext = createContext<Proofs>(NONE)

export const useProofs = (): Proofs => use(ProofContext)

/** Asked for once a turn with tools has ended. */
export function useProofsOf(
  sessionId: string,
  rows: readonly Row[],
  bring: (row: number) => void,
): Proofs {
  const { id } = useProject()
  const enabled = useMemo(
    () => rows.some((row) => row.kind === 'tally' && row.tally.tools > 0),
    [rows],
  )
  const { data = NO_PROOFS } = useQuery({ ...queries.receipts(id, sessionId), enabled })
  return useMemo(() => {
    return {
      byNumber: new Map(data.map((proof) => [proof.number, proof])),
      byTurn: proofsByTurn(rows, data),
      begun: beginnings(rows),
      show: (call) => {
        const at = rows.findLastIndex((row) => row.kind === 'tool' && row.callId === call)
        return at < 0 ? null : () => bring(at)
      },
    }
  }, [data, rows, bring])
}
