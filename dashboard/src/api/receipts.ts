// What ran, as the machine's first process saw it: neither the agent nor its model writes these.
import { call } from './http'

const seg = encodeURIComponent

type CheckKind = 'test' | 'lint' | 'build' | 'check'

/** A receipt of one program that the agent had run. */
export interface RunReceipt {
  number: number
  sessionId: string
  toolCallId: string
  argv: string[]
  startedAt: number
  endedAt: number
  /** Null: a signal ended it. */
  exitCode: number | null
  signal: number | null
  /** What of it was a check. `decides`: whether its end says how that went. */
  checks: { kind: CheckKind; command: string; decides: boolean }[]
  stamp: 'none' | 'pending' | 'taken' | 'failed'
  /** The project's files when it ended. `changed`: some were written while it ran. */
  tree: { hash: string; files: number; bytes: number; changed: boolean } | null
}

export interface ReceiptList {
  /** `stale`: the project's files are others by now; null where that is not known. */
  receipts: (RunReceipt & { stale: boolean | null })[]
}

/** Words of the agent that say how a check went. */
export interface Claim {
  kind: CheckKind
  text: string
  messageId: string
  contentIndex: number
  /** In that block's text. */
  start: number
  end: number
  /** The newest fitting receipt of the prompt. */
  receipt: number | null
  proof: 'passed' | 'failed' | 'undecided' | 'none'
}

/** As many as one answer has. */
const NEWEST = 500

/** The newest receipts of a conversation, oldest first. Wakes nothing. */
export const receiptsOf = (project: string, session: string) =>
  call<ReceiptList>(
    'GET',
    `/v1/projects/${seg(project)}/toft/receipts?sessionId=${seg(session)}&limit=${NEWEST}`,
  ).then((list) => list.receipts)
