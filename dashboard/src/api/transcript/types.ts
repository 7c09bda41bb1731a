// What a chat shows: a flat list of rows. A row keeps its identity until it changes, so that the
// page redraws only what did.
import type { Block, Question, SessionModel, Usage } from '../bridge-types'
import type { AgentStatus } from '../types'

export interface UserRow {
  kind: 'user'
  id: string
  text: string
  images: { data: string; mimeType: string }[]
  at: number
}

export interface TextRow {
  kind: 'text' | 'thinking'
  id: string
  messageId: string
  text: string
  streaming: boolean
}

export interface ToolRow {
  kind: 'tool'
  id: string
  messageId: string
  callId: string
  name: string
  /** Null while the model still writes the arguments. */
  input: Record<string, unknown> | null
  /** The arguments as far as they came. */
  inputText: string
  state: 'calling' | 'running' | 'done' | 'failed' | 'cut'
  /** Live output, the last part of it. */
  output: string
  result: Block[] | null
  details: unknown
  durationMs: number | null
  startedAt: number | null
  question: Question | null
}

export interface ErrorRow {
  kind: 'error'
  id: string
  messageId: string
  text: string
  aborted: boolean
  model: string
}

export interface Receipt {
  reason: string
  turns: number
  tools: number
  changed: string[]
  durationMs: number
  /** From message times, not measured. */
  about: boolean
  usage: Usage
  demo: boolean
}

export interface ReceiptRow {
  kind: 'receipt'
  id: string
  receipt: Receipt
  /** The last message that it covers. */
  after: string | null
}

export interface NoteRow {
  kind: 'note' | 'summary' | 'demo'
  id: string
  text: string
}

/** A moment of the project that concerns the conversation: its files went back, or it was copied. */
export interface MarkerRow {
  kind: 'marker'
  id: string
  /** Unix ms. */
  at: number
  what:
    | {
        kind: 'restored'
        checkpointId: string
        label: string | null
        takenAt: number
        /** Whether this conversation went back too, not only the files. */
        moved: boolean
      }
    | { kind: 'forked'; from: string }
}

export type Row = MarkerRow | UserRow | TextRow | ToolRow | ErrorRow | ReceiptRow | NoteRow

interface Retry {
  attempt: number
  maxAttempts: number
  /** Unix ms when it is tried. */
  until: number
  why: string
  /** A person has to do something first. */
  asks: boolean
}

/** One conversation as the page knows it. Only ever replaced, never changed. */
export interface Transcript {
  sessionId: string
  /** Last event in the rows. */
  seq: number
  /** Last event in everything else: the state comes from another request than the messages. */
  stateSeq: number
  /** The newest answer or result among the events so far, history included: the receipt that comes
   * next in the events covers it. */
  told: { seq: number; entryId: string | null }
  rows: readonly Row[]
  name: string | null
  status: AgentStatus
  /** When the running prompt was taken up, as far as known. */
  workingSince: number | null
  steering: readonly string[]
  followUp: readonly string[]
  question: Question | null
  retry: Retry | null
  compacting: boolean
  model: SessionModel | null
  thinkingLevel: string
  contextTokens: number | null
  contextWindow: number | null
}
