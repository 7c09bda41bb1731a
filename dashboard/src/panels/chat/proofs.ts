// Which receipts belong to which turn of a conversation, and what they say.
import type { Claim, ReceiptList, RunReceipt } from '@/api/receipts'
import type { Row, UserRow } from '@/api/transcript/types'
import type { Shape, Tone } from '@/ui/glyph'

export type Proof = ReceiptList['receipts'][number]

/** The receipts of each turn, by the id of the row that ends it: by their calls, and those without a row
 * (a check that ran by itself) by when they ran. */
export function proofsByTurn(
  rows: readonly Row[],
  proofs: readonly Proof[],
): ReadonlyMap<string, Proof[]> {
  const turnOf = new Map<string, string>()
  const turns: { id: string; from: number }[] = []
  let calls: string[] = []
  let from: number | null = null
  for (const row of rows) {
    if (row.kind === 'tool') calls.push(row.callId)
    else if (row.kind === 'user') from ??= row.at
    else if (row.kind === 'tally') {
      for (const call of calls) turnOf.set(call, row.id)
      turns.push({ id: row.id, from: from ?? turns.at(-1)?.from ?? 0 })
      calls = []
      from = null
    }
  }
  const running = new Set(calls)
  const byTurn = new Map<string, Proof[]>()
  for (const proof of proofs) {
    if (running.has(proof.toolCallId)) continue
    const turn =
      turnOf.get(proof.toolCallId) ?? turns.findLast((each) => each.from <= proof.startedAt)?.id
    if (turn === undefined) continue
    const own = byTurn.get(turn)
    if (own) own.push(proof)
    else byTurn.set(turn, [proof])
  }
  return byTurn
}

/** The words that each turn began with, by the id of the row that ends it. */
export function beginnings(rows: readonly Row[]): ReadonlyMap<string, UserRow> {
  const begun = new Map<string, UserRow>()
  let first: UserRow | null = null
  for (const row of rows) {
    if (row.kind === 'user') first ??= row
    else if (row.kind === 'tally') {
      if (first) begun.set(row.id, first)
      first = null
    }
  }
  return begun
}

/** What was run, as a person would have typed it. */
export function commandOf({ argv }: Pick<RunReceipt, 'argv'>): string {
  const [program = '', flag, line] = argv
  return flag === '-c' && line !== undefined && /(^|\/)(ba|z|da|k)?sh$/.test(program)
    ? line
    : argv.join(' ')
}

/** `exit code 1`, `signal 9`: how it ended. */
export function endOf({ exitCode, signal }: Pick<RunReceipt, 'exitCode' | 'signal'>): string {
  return exitCode === null ? `signal ${signal ?? '?'}` : `exit code ${exitCode}`
}

/** `3f1c2ab9`: enough of a hash to tell trees apart by eye. */
export function shortHash(hash: string): string {
  return hash.replace(/^sha256:/, '').slice(0, 8)
}

/** Whether the files are those that it ran on, in words; null where it had none to look at. */
export function staleWords({ stamp, stale, tree }: Proof): string | null {
  if (stamp === 'none') return null
  if (stamp === 'pending') return 'reading the files…'
  if (!tree) return 'the files could not be read'
  if (stale === true) return 'changed since'
  if (tree.changed) return 'files changed while it ran'
  return stale === false ? 'unchanged since' : null
}

export interface ProofLook {
  shape: Shape
  tone: Tone
  word: string
}

/** How a receipt is drawn: quiet once the files are others. */
export function proofLook({ exitCode, checks, stale }: Proof): ProofLook {
  if (exitCode !== 0) {
    return { shape: 'cross', tone: stale || checks.length === 0 ? 'quiet' : 'red', word: 'failed' }
  }
  if (checks.length === 0) return { shape: 'dot', tone: 'quiet', word: 'ran' }
  if (!checks.some((check) => check.decides)) {
    return { shape: 'ring', tone: 'quiet', word: 'undecided' }
  }
  return { shape: 'tick', tone: stale ? 'quiet' : 'moss', word: 'passed' }
}

/** How a claim is drawn, with what its receipt says by now. */
export function claimLook(claim: Pick<Claim, 'proof' | 'receipt'>, proof: Proof | null): ProofLook {
  if (claim.proof === 'none' || claim.receipt === null) {
    return { shape: 'ring', tone: 'quiet', word: 'no receipt' }
  }
  if (claim.proof === 'failed') {
    return { shape: 'cross', tone: proof?.stale ? 'quiet' : 'red', word: 'its receipt says failed' }
  }
  if (claim.proof === 'undecided') {
    return { shape: 'ring', tone: 'quiet', word: 'its receipt does not decide it' }
  }
  return proof?.stale
    ? { shape: 'tick', tone: 'quiet', word: 'changed since' }
    : { shape: 'tick', tone: 'moss', word: 'receipt' }
}

/** `2 checks passed`, `1 of 2 checks failed`: what a turn's newest word on each check is. */
export function checksWords(proofs: readonly Proof[]): string | null {
  const newest = new Map<string, Proof>()
  for (const proof of proofs) {
    for (const { command } of proof.checks) newest.set(command, proof)
  }
  const last = [...new Set(newest.values())]
  if (last.length === 0) return null
  const failed = last.filter((proof) => proof.exitCode !== 0).length
  const all = `${last.length} ${last.length === 1 ? 'check' : 'checks'}`
  const stale = last.some((proof) => proof.stale === true) ? ', changed since' : ''
  if (failed > 0) return `${failed === last.length ? all : `${failed} of ${all}`} failed${stale}`
  const decided = last.every((proof) => proof.checks.some((check) => check.decides))
  return `${all} ${decided ? 'passed' : 'ran'}${stale}`
}
