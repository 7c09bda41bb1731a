// Shapes of the bridge's routes and of Pi's messages, as docs/http-api.md §2 has them.
import type { ServiceProcess } from './machine-types'
import type { AgentStatus } from './types'

export type Block =
  | { type: 'text'; text: string }
  | { type: 'thinking'; thinking: string; redacted?: boolean }
  | { type: 'image'; data: string; mimeType: string }
  | { type: 'toolCall'; id: string; name: string; arguments: Record<string, unknown> }

export interface Usage {
  input: number
  output: number
  cacheRead: number
  cacheWrite: number
  totalTokens: number
  cost?: { total: number }
}

interface UserMessage {
  role: 'user'
  content: string | Block[]
  timestamp: number
}

export interface AssistantMessage {
  role: 'assistant'
  content: Block[]
  provider: string
  model: string
  usage: Usage
  stopReason: 'stop' | 'length' | 'toolUse' | 'error' | 'aborted'
  errorMessage?: string
  timestamp: number
}

export interface ToolResultMessage {
  role: 'toolResult'
  toolCallId: string
  toolName: string
  content: Block[]
  details?: unknown
  isError: boolean
  timestamp: number
}

export type Message =
  | UserMessage
  | AssistantMessage
  | ToolResultMessage
  | { role: 'custom'; content: string | Block[]; display: boolean; timestamp: number }
  | { role: 'compactionSummary' | 'branchSummary'; summary: string; timestamp: number }

export interface StoredMessage {
  entryId: string
  parentId: string | null
  message: Message
}

/** Where a conversation went back to a checkpoint. */
interface WentBack {
  /** The message that it stood at then; null: before the first. */
  afterEntryId: string | null
  checkpointId: string | null
  label: string | null
  takenAt: number | null
  at: number
}

export interface MessageList {
  sessionId: string
  messages: StoredMessage[]
  /** On this branch, oldest first. */
  restores?: WentBack[]
  seq: number
}

export interface Question {
  question: string
  options: string[]
  /** Names of secrets that are asked for: their values are set, not answered. */
  secrets?: string[]
  /** Bindings that the agent proposes for them, by name: as the machine says it, see `readBinding`. */
  bindings?: Record<string, unknown>
  toolCallId: string
}

export interface SessionModel {
  provider: string
  id: string
  name?: string
  demo: boolean
}

export interface AgentState {
  sessionId: string
  sessionName: string | null
  status: AgentStatus
  /** Null while no model can be chosen. */
  model: SessionModel | null
  thinkingLevel: string
  isStreaming: boolean
  isCompacting: boolean
  messageCount: number
  steering: string[]
  followUp: string[]
  appPort: number | null
  appListening: boolean
  cwd: string
  question: Question | null
  contextTokens: number | null
  contextWindow: number | null
  usage: Usage | null
  seq: number
}

export interface SessionInfo {
  id: string
  name: string | null
  firstMessage: string | null
  messageCount: number
  createdAt: number | string
  updatedAt: number | string
  status: AgentStatus
  /** The machine no longer has it: what is shown is the server's copy, and nothing can be sent. */
  lost?: boolean
}

export interface SessionList {
  current: string | null
  sessions: SessionInfo[]
}

export interface Integration {
  id: string
  name: string
  status: string
  secrets: string[]
  description: string | null
}

export interface Service {
  id: string
  name: string
  type: string
  port: number | null
  schedule?: string | null
  status: string
  description?: string | null
  /** What runs it. Without one it is only noted down, and nobody supervises it. */
  command?: string | null
  cwd?: string | null
  env?: Record<string, string> | null
  restart?: 'always' | 'on-failure' | 'never' | null
  /** What of the row cannot be read, and how to mend it. */
  problem?: string | null
  /** Only in answers, and only while the machine runs. */
  process?: ServiceProcess | null
}

/** A part of what a service printed. Positions count from its first byte ever. */
export interface LogPage {
  text: string
  from: number
  to: number
  /** The first position that is kept: what was before it is gone. */
  first: number
  /** Behind the last one. */
  end: number
}

export interface Asset {
  id: string
  name: string
  type: string
  path: string
  description?: string | null
}

export interface Inspect {
  integrations: Integration[]
  services: Service[]
  assets: Asset[]
}

interface ProcessExit {
  code: number | null
  signal: number | null
}

export interface ProcessInfo {
  id: string
  pid: number
  label: string
  pty: boolean
  startedAt: number
  outputBytes: number
  exit: ProcessExit | null
}

export interface TerminalInfo {
  id: string
  label: string
  pid: number
  startedAt: number
}

export interface FileEntry {
  name: string
  type: 'file' | 'dir' | 'link' | 'other'
  size: number
  modifiedAt: number
}

export interface FileInfo {
  path: string
  type: 'dir' | 'file'
  size: number
  modifiedAt: number
  entries?: FileEntry[]
}
