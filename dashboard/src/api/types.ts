// Shapes of the `/v1` API, as docs/http-api.md has them.
import type { Can, EgressAnswer, EgressSetting, IdleRule, Limits } from './machine-types'

export type MachineState =
  | 'creating'
  | 'running'
  | 'frozen'
  | 'cold'
  | 'stopped'
  | 'error'
  | 'destroyed'

export type AgentStatus = 'idle' | 'working' | 'waiting' | 'error'

export interface User {
  id: string
  name: string
  email: string | null
  role: 'owner' | 'admin' | 'member' | 'viewer'
  hasPassword: boolean
}

export interface Me {
  user: User
  server: {
    version: string
    host: string
    /** Null when previews have ports instead of names: only `POST …/preview` knows their URLs. */
    previewPattern: string | null
    backend: string
    demoOnly: boolean
  }
}

export interface Project {
  id: string
  alias: string | null
  name: string
  url: string
  state: MachineState
  stateReason: string | null
  latestRunId: string | null
  createdAt: string
  updatedAt: string
  agentStatus: AgentStatus | null
  /** It is a fork that is compared with others. Not told in lists, where there are none. */
  candidateOf?: { projectId: string; comparisonId: string } | null
}

export interface Ability {
  name: string
  enforced: boolean
  how: string
  remedy?: string
}

export interface Machine {
  state: MachineState
  stateReason: string | null
  backend: string
  image: string
  storage: string
  limits: Limits
  enforced: Ability[]
  can: Can
  idle: IdleRule
  frozenAt?: string | number | null
  startedAt: string | number | null
  use: { memoryBytes: number | null; pids: number | null } | null
  egress: EgressSetting & Pick<EgressAnswer, 'inForce'>
  appPort: number | null
  wakes: { at: string | number; cause: string }[]
}

export interface Settings {
  defaultProvider: string | null
  defaultModel: string | null
  defaultThinkingLevel: string | null
  /** Whether servers of models of this machine are looked for. */
  localModels: boolean
  theme: string | null
}

export interface Provider {
  id: string
  name: string
  api: string
  configured: boolean
  source: 'env' | 'file' | 'settings' | null
  envVar: string | null
  /** Where the file of keys is, for the source `file`. */
  file: string | null
  /** Why the key that the server was given cannot be one, or that a server of this machine is not there. */
  problem: string | null
  keyHint: string | null
  baseUrl: string | null
  models: number
  /** A server of models of this machine. */
  local: boolean
  /** Of the file of models. */
  own: boolean
  /** It can be asked without a key. */
  keyless: boolean
}

/** The file in which people tell of models and providers of their own. */
export interface ModelsFile {
  path: string
  providers: string[]
  models: number
  /** Why it cannot be read as it is now: what it said before counts on. */
  problem: string | null
}

/** The file that keys were found in. */
export interface KeysFile {
  path: string | null
  /** Why it cannot be read as it is now: what was read before counts on. */
  problem: string | null
}

export interface ModelInfo {
  provider: string
  id: string
  name: string
  api: string
  contextWindow: number
  maxTokens: number
  reasoning: boolean
  images: boolean
  demo?: boolean
}

export interface ModelList {
  default: { provider: string; id: string }
  defaultThinkingLevel: string
  models: ModelInfo[]
  providers: { id: string; name: string; api: string }[]
}

export interface Doctor {
  abilities: Ability[]
  version: string
  dataDir: string
  storage: string
  traces: TraceSink[]
}

interface TraceSink {
  sink: 'otlp' | 'langsmith'
  endpoint: string
  spansAccepted: number
  problem: { at: number; code: string; message: string } | null
}

export const THINKING_LEVELS = ['off', 'minimal', 'low', 'medium', 'high', 'xhigh'] as const
