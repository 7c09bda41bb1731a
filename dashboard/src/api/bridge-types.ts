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

/** Words of the loop, or of an extension. */
export interface CustomMessage {
  role: 'custom'
  customType?: string
  content: string | Block[]
  display: boolean
  details?: unknown
  timestamp: number
}

export type Message =
  | UserMessage
  | AssistantMessage
  | ToolResultMessage
  | CustomMessage
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
  /** Names it where its call may be asked about more than once: answered by it, else by the call. */
  id?: string
  /** Why it is asked, when it is not a tool that asks. */
  kind?: 'permission' | 'doubt' | 'loop'
  /** The task's conversation, when it is about a call of a task. */
  childSession?: string
}

/** What is done with a call that a rule fits. */
export type RuleAction = 'allow' | 'ask' | 'deny'

/** A rule for what the agent may do by itself: the first that fits counts. */
export interface Rule {
  tool: string
  /** Left out: whatever the call is about. */
  argument?: string
  action: RuleAction
  reason?: string
}

/** What one prompt may take: billionths of a dollar, seconds, model calls. */
export interface PromptLimits {
  money?: number
  seconds?: number
  steps?: number
}

/** What a conversation's agent may do: look and change, or look and say what it would change. */
export type Mode = 'build' | 'plan'

export interface PlanTodo {
  id: string
  title: string
  details?: string
  acceptanceCriteria?: string[]
}

export interface Plan {
  summary: string
  todos: PlanTodo[]
}

export interface PlanReady extends Plan {
  planId: string
  /** The answer that it was read from; of an edited one, the plan before. */
  of?: string
  source: 'json' | 'list' | 'text' | 'edited'
}

/** `dropped`: the conversation went on about something else. */
export type PlanState = 'proposed' | 'approved' | 'rejected' | 'dropped'

/** One step of the list that an agent works through. */
export interface TodoItem {
  content: string
  status: 'pending' | 'in_progress' | 'completed'
}

/** An entry of a conversation, in the tree that its file is. */
export interface TreeNode {
  id: string
  parentId: string | null
  kind: string
  role: string | null
  /** The beginning of what it says. */
  text: string
  label: string | null
  timestamp: number
  onPath: boolean
}

export interface TreePage {
  sessionId: string
  leafId: string | null
  entries: TreeNode[]
  /** Ask again with it as `after`; null: that was all. */
  next: string | null
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
  /** These four are left out by a copy of before they were told. */
  mode?: Mode
  plan?: PlanReady | null
  planState?: PlanState | null
  todos?: TodoItem[]
  /** Absent in states of older bridges. */
  rules?: Rule[]
  limits?: PromptLimits
  /** Whether the project's own check runs when a plan was carried out. */
  autoCheck?: boolean
  /** Null: found in the project. */
  checkCommand?: string | null
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
  /** A plan waits for a person's word. */
  planProposed?: boolean
  /** The machine no longer has it: what is shown is the server's copy, and nothing can be sent. */
  lost?: boolean
  /** The call that it does the work of, if it is a task's. */
  parentCallId?: string
}

export interface SessionList {
  current: string | null
  sessions: SessionInfo[]
}

/** Instructions that the agent reads when it needs them. */
interface Skill {
  name: string
  description: string
  /** Of its SKILL.md. */
  path: string
  source: 'project' | 'home'
  /** The model is not told of it: only people ask for it. */
  disableModelInvocation: boolean
}

export interface SkillList {
  skills: Skill[]
  faults: { path: string; message: string }[]
}

/** A folder of the project that adds to its agent. */
export interface Extension {
  name: string
  folder: string
  description: string
  /** Switched off in its extension.json. */
  disabled: boolean
  /** Whether it adds words to the prompt. */
  systemPrompt: boolean
  hooks: {
    event: 'input' | 'before_agent_start' | 'tool_call' | 'tool_result' | 'agent_end'
    /** None: all. */
    tools: string[]
    timeoutMs: number
  }[]
  tools: { name: string; description: string }[]
  /** Names of its servers of tools. */
  servers: string[]
  /** Why nothing of it is used. */
  fault: string | null
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
