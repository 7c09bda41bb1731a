// What a chat shows: a flat list of rows. A row keeps its identity until it changes, so that the
// page redraws only what did.
import type {
  Block,
  Mode,
  PlanReady,
  PlanState,
  Question,
  SessionModel,
  TodoItem,
  Usage,
} from '../bridge-types'
import type { Claim } from '../receipts'
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
  /** The plan in it stands below as a card. */
  planned?: boolean
  /** What it says of checks that were run. */
  claims?: readonly Claim[]
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
  /** What the tool asks; or, with a `kind`, what a person is asked about the call just now. */
  question: Question | null
  /** The conversation in which a task does its work, once that is known. */
  child: string | null
}

export interface ErrorRow {
  kind: 'error'
  id: string
  messageId: string
  text: string
  aborted: boolean
  model: string
}

export interface Tally {
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

export interface TallyRow {
  kind: 'tally'
  id: string
  tally: Tally
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

/** The newest plan of the conversation. */
export interface PlanRow {
  kind: 'plan'
  id: string
  plan: PlanReady
  state: PlanState
}

export type Row = PlanRow | MarkerRow | UserRow | TextRow | ToolRow | ErrorRow | TallyRow | NoteRow

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
  /** The newest answer or result among the events so far, history included: the tally that comes
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
  mode: Mode
  /** The list that the agent works through. */
  todos: readonly TodoItem[]
  /** The project's own check, while it runs after a plan was carried out. */
  checking: string | null
  compacting: boolean
  model: SessionModel | null
  thinkingLevel: string
  contextTokens: number | null
  contextWindow: number | null
}
