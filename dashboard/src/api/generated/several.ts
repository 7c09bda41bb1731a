// What answers of several areas are made of.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

/** What answers are made of. */
export interface Schemas {
  /** One thing that a host can or cannot enforce. */
  Ability: {
    /** For example `user namespaces`, `memory limit`, `storage`. */
    name: string
    /** Whether it is in force. */
    enforced: boolean
    /** How, or why not, in one sentence. */
    how: string
    /** What to do to get it, when it is missing. */
    remedy?: string | null
  }
  /** A conversation whose place differs. */
  AffectedSession: {
    sessionId: string
    /** Its name, or how it begins. */
    name: string
    /** Messages that were not there at the checkpoint. */
    messagesAfter: number
  }
  /** Wire format that a provider speaks. */
  Api: 'anthropic-messages' | 'openai-completions' | 'openai-responses' | 'google-generative-ai' | 'bedrock-converse-stream' | 'scripted'
  /** A request that a machine's bridge has refused. */
  BridgeFailure: {
    type: 'response'
    command: string
    success: false
    /** What happened, and what to do. */
    error: string
    /** Stable. */
    code: string
  }
  /** What a backend can do with its machines: callers ask, nobody guesses. */
  Can: {
    /** Keeps copies of disks and goes back to them, if the machine may be paused or stopped meanwhile. */
    checkpoint: boolean
    /** Does so in about a millisecond, while the machine runs. */
    liveCheckpoint: boolean
    /** Makes a project's disk from another's. */
    fork: boolean
    /** Pauses processes in memory. */
    freeze: boolean
    /** Names of the limits that are enforced: `memory`, `pids`, `cpu`, `disk`. */
    limits: string[]
    /** Whether all that a machine sends passes the gateway. */
    egress: boolean
  }
  /** One of the runs that are compared. */
  Candidate: {
    /** From 1. */
    number: number
    runId: string
    /** As it was asked for; null: the project's choice. */
    provider: string | null
    model: string | null
    /** Its fork; null until it is made, and when it is gone. */
    projectId: string | null
    /** Where the fork's app is shown, for who has an entry. */
    url: string | null
    kept: boolean
    /** Its run, as long as there is one. */
    run: Schemas['Run'] | null
    durationMs: number | null
    /** What its run came to, when the fork is gone. */
    outcome: Schemas['CandidateOutcome'] | null
    /** What it checked; not in lists. */
    checks?: Schemas['CandidateCheck'][] | null
  }
  /** What a candidate had checked, by the word of its machine's init. */
  CandidateCheck: {
    /** The number of its receipt. */
    receipt: number
    kinds: Schemas['CheckKind'][]
    command: string
    /** Whether it is the check that follows a build by itself. */
    auto: boolean
    result: Schemas['CheckResult']
    exitCode: number | null
    durationMs: number
    /** Files were written while it ran, so that it may have run on others first. */
    changed: boolean | null
  }
  /** What stays of a run whose fork is gone. */
  CandidateOutcome: {
    status: Schemas['RunStatus']
    provider: string | null
    model: string | null
    cost: Schemas['RunCost'] | null
    durationMs: number | null
  }
  /** Why a checkpoint was taken. */
  Cause: 'manual' | 'prompt' | 'restore' | 'fork'
  /** How a path differs between two moments. */
  ChangeKind: 'added' | 'modified' | 'removed' | 'replaced'
  /** What a check looks at. */
  CheckKind: 'test' | 'lint' | 'build' | 'check'
  /** What a check came to. */
  CheckResult: 'passed' | 'failed' | 'undecided'
  /** A checkpoint, as it is told. */
  Checkpoint: {
    /** Which. */
    id: string
    /** Of which project. */
    projectId: string
    /** A name that a person gave it. */
    label: string | null
    /** Why it was taken. */
    cause: Schemas['Cause']
    /** Unix milliseconds. */
    createdAt: number
    /** Number of the project's last event that is in it. */
    seq: number
    /** Identity of what the disk lies over: the host's programs, or an image. */
    base: string
    /** Where each conversation stood. */
    sessions: Schemas['Place'][]
    /** The user message before which it was taken, for `Cause::Prompt`. */
    message: Schemas['Place'] | null
  }
  /** Of what has nothing to tell: an empty object. */
  Done: Record<string, never>
  /** Names of the levels, each wider than those before it. */
  EgressName: 'none' | 'allow-list' | 'open'
  /** A request that failed. */
  Failure: {
    ok: false
    error: {
      /** Stable. A machine's bridge has codes of its own, which are told with its routes. */
      code: string
      /** What happened, and what to do. */
      message: string
    }
    meta: Schemas['Meta']
  }
  /** A file at two moments. */
  FileDiff: {
    path: string
    /** Its text then; none when there was no such file. */
    before: string | null
    after: string | null
    /** Empty when both are the same. */
    unified: string
    /** Why there is no text. */
    note?: string | null
  }
  /** When a machine that nobody uses is put away. `None`: never. */
  IdleRule: {
    /** Seconds without use until its processes are paused in memory. */
    freezeAfterS: number | null
    /** Seconds without use until its processes end. */
    coldAfterS: number | null
  }
  /** Limits of a machine's `work` processes. `None` means no limit. */
  Limits: {
    /** Bytes of memory. */
    memoryBytes: number | null
    /** Processors, for example `1.5`. */
    cpus: number | null
    /** Processes and threads. */
    pids: number | null
    /** Bytes on disk. */
    diskBytes: number | null
    /** Bytes of its log folder, which lies beside the disk: past it the machine is ended. */
    logBytes: number | null
  }
  /** A machine. */
  Machine: {
    state: Schemas['MachineState']
    /** Why it is so, where something is wrong. */
    stateReason: string | null
    /** What makes it: `native`, `host`, `oci` or `e2b`. */
    backend: string
    /** Name of what it is made of. */
    image: string
    /** What its disk lies in. */
    storage: string
    can: Schemas['Can']
    limits: Schemas['Limits']
    /** What this host enforces, and how. */
    enforced: Schemas['Ability'][]
    idle: Schemas['IdleRule']
    /** RFC 3339; null while it does not run. */
    startedAt: string | null
    /** RFC 3339; null while it is not paused. */
    frozenAt: string | null
    use: Schemas['MachineUse']
    /** As in `use`. */
    memoryBytes: number | null
    /** As in `use`. */
    pids: number | null
    egress: Schemas['MachineEgress']
    /** The port that its app listens at. */
    appPort: number | null
    /** Its newest wakes. */
    wakes: Schemas['Wake'][]
  }
  /** What it may reach. */
  MachineEgress: {
    level: Schemas['EgressName']
    rules: string[]
    /** The level below the project's ceiling. */
    inForce: Schemas['EgressName']
  }
  /** Where a machine is in its life. */
  MachineState: 'creating' | 'running' | 'frozen' | 'cold' | 'stopped' | 'error' | 'destroyed'
  /** What it uses now; null where nothing counts it. */
  MachineUse: {
    memoryBytes: number | null
    pids: number | null
  }
  /** Of every enveloped answer. */
  Meta: {
    apiVersion: 'v1'
    /** When it was answered. */
    ts: string
  }
  /** What is known of a model. */
  ModelInfo: {
    /** Provider id. */
    provider: string
    /** Model id. */
    id: string
    /** Name for people. */
    name: string
    /** Wire format. */
    api: Schemas['Api']
    /** Tokens that fit in one request. */
    contextWindow: number
    /** Output tokens at most. */
    maxTokens: number
    /** Whether it can think before it answers. */
    reasoning: boolean
    /** Whether it takes images. */
    images: boolean
    /** Prices in US dollars per million tokens, when known. */
    price?: Schemas['Price'] | null
    /** True for the scripted model: shown wherever it speaks. */
    demo: boolean
  }
  /** Answer of the gateway's `GET /llm/models`. */
  ModelList: {
    /** What a session without a choice of its own uses. */
    default: Schemas['ModelRef']
    /** Thinking level for such a session (`off minimal low medium high xhigh`). */
    defaultThinkingLevel: string
    /** Models of every provider that has a key, and the demo. */
    models: Schemas['ModelInfo'][]
    /** Providers that have a key; any model id may be asked of them, listed or not. */
    providers: Schemas['ProviderInfo'][]
  }
  /** A model by provider and id. */
  ModelRef: {
    /** Provider id, for example `anthropic`; `demo` is the scripted one. */
    provider: string
    /** Model id as the provider names it. */
    id: string
  }
  /** The steps of a run inside its machine, in order. */
  Phase: 'plan' | 'build' | 'commit' | 'over'
  /** Where a conversation stood. */
  Place: {
    /** Which. */
    sessionId: string
    /** Its last entry then; none while it was empty. */
    leafEntryId: string | null
  }
  /** US dollars per million tokens. */
  Price: {
    /** Uncached input. */
    input: number
    /** Output. */
    output: number
    /** Cached input. */
    cacheRead: number
    /** Writing to the cache. */
    cacheWrite: number
    /** Thinking, where it costs something else than the rest of the output. */
    reasoning?: number | null
    /** What takes the place of these prices for long prompts. */
    above?: Schemas['PriceAbove'] | null
  }
  /** US dollars per million tokens of a call whose prompt is longer than most. */
  PriceAbove: {
    /** For prompts of more tokens than this, cached ones included. */
    tokens: number
    /** See `Price::input`. */
    input: number
    /** See `Price::output`. */
    output: number
    /** See `Price::cache_read`. */
    cacheRead: number
    /** See `Price::cache_write`. */
    cacheWrite: number
  }
  /** A provider that can be called. */
  ProviderInfo: {
    /** Provider id: also the path segment under `/llm/`. */
    id: string
    /** Name for people. */
    name: string
    /** Wire format. */
    api: Schemas['Api']
  }
  /** What was gone back to. */
  Restored: {
    checkpoint: Schemas['Checkpoint']
    /** How it was, kept before that. */
    before: Schemas['Checkpoint']
    affectedSessions: Schemas['AffectedSession'][]
    machine: Schemas['Machine']
  }
  /** A run. Times are RFC 3339. */
  Run: {
    id: string
    projectId: string
    /** Its number in the project, from 1. */
    runIndex: number
    /** Whether it is the project's latest. */
    writable: boolean
    /** The run that it goes on from. */
    parentRunId: string | null
    status: Schemas['RunStatus']
    phase: Schemas['Phase']
    waitsFor: Schemas['WaitsFor'] | null
    /** More of its status, where there is more to know. */
    statusDetail: Schemas['StatusDetail'] | null
    createdAt: string
    startedAt: string | null
    completedAt: string | null
    updatedAt: string
    prompt: string
    /** JSON that came with it. */
    input: unknown
    /** What it said at its end. */
    output: string | null
    /** What went wrong. */
    error: string | null
    usage: Schemas['RunUsage'] | null
    cost: Schemas['RunCost'] | null
    /** The conversation that it works in. */
    sessionId: string | null
    commitSha: string | null
    /** The checkpoint before it. */
    checkpointId: string | null
    /** The number of its latest event. */
    lastEventId: number
    meta: Schemas['RunMeta']
  }
  /** What that costs. */
  RunCost: {
    currency: string
    estimatedUsd: number
    pricingVersion: string
  }
  /** Who answered, and how it was asked for. */
  RunMeta: {
    provider: string | null
    model: string | null
    modelSource: string | null
    usageSource: string | null
    pricingSource: string | null
    /** How often it was tried. */
    attempt: number
    maxAttempts: number
    /** Of backends that have one. */
    sandboxId: string | null
    idempotencyKey: string
    workspaceBackend: string | null
    priority: number
    approval: boolean
  }
  /** Where a run is. The Platform Agent's words. */
  RunStatus: 'queued' | 'running' | 'completed' | 'error' | 'cancelled'
  /** Tokens that a run has used. */
  RunUsage: {
    inputTokens: number
    outputTokens: number
    totalTokens: number
    cachedInputTokens: number
    reasoningOutputTokens: number
  }
  /** What a status does not say. */
  StatusDetail: 'waiting_host'
  /** What a run that is not over waits for, when it is not its own work. */
  WaitsFor: 'approval' | 'answer' | 'machine' | 'host' | 'provider'
  /** Why it was woken. */
  Wake: {
    /** RFC 3339. */
    at: string
    cause: string
    /** In which state it was. */
    was: Schemas['MachineState'] | null
  }
}
