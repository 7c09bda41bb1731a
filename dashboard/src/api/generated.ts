/* oxlint-disable */
// What the server takes and gives, by its own types. Made by `toft openapi --typescript`: never edited by hand.

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
  /** A message, and the run that it makes. */
  AcceptedMessage: {
    run: Schemas['AcceptedRun']
    message: Schemas['RunSaid']
  }
  /** A run, when it was accepted. */
  AcceptedRun: {
    id: string
    projectId: string
    status: Schemas['RunStatus']
    /** Its number in the project, from 1. */
    runIndex: number
    /** Whether it is the project's latest. */
    writable: boolean
    parentRunId: string | null
    /** Whether this request made it; false: it was known by its key. */
    created: boolean
  }
  /** Work that was asked for: one run, or several that are compared. */
  AcceptedWork: Schemas['AcceptedRun'] | Schemas['MadeComparison']
  /** Answer of `GET /toft/activity`. */
  Activity: {
    /** Empty: nothing forbids pausing. */
    busy: Schemas['Busy'][]
  }
  /** An image that was asked for. */
  AddedImage: {
    key: string
    name: string
    /** What it was made of. */
    kind: 'host' | 'folder' | 'tarball' | 'oci' | 'template'
    source: string
    /** RFC 3339; null of `host`. */
    createdAt: string | null
    bytes: number | null
    /** `making`, `ready` or `failed`. */
    state: 'making' | 'ready' | 'failed'
    /** Whether new projects are made of it. */
    default: boolean
    /** Why it failed. */
    reason?: string | null
    /** While it is made. */
    progress?: Schemas['ImageProgress'] | null
    /** Whether it was not there before. */
    created: boolean
  }
  /** A conversation whose place differs. */
  AffectedSession: {
    sessionId: string
    /** Its name, or how it begins. */
    name: string
    /** Messages that were not there at the checkpoint. */
    messagesAfter: number
  }
  /** What an agent does. */
  AgentStatus: 'idle' | 'working' | 'waiting' | 'error'
  /** Wire format that a provider speaks. */
  Api: 'anthropic-messages' | 'openai-completions' | 'openai-responses' | 'google-generative-ai' | 'bedrock-converse-stream' | 'scripted'
  /** An API key, without what opens. */
  ApiKey: {
    id: string
    name: string
    /** How the key begins. */
    prefix: string
    scopes: Schemas['Scope'][]
    /** The only project that it opens; null: all. */
    projectId: string | null
    /** Unix milliseconds. */
    createdAt: number
    /** Who made it; null where a key did, or the person is gone. */
    createdBy: string | null
    /** Unix milliseconds; null: never. */
    expiresAt: number | null
    expired: boolean
    /** Unix milliseconds; null: never. */
    lastUsedAt: number | null
  }
  /** All keys. */
  ApiKeys: {
    keys: Schemas['ApiKey'][]
  }
  /** A backend on this host. */
  BackendReport: {
    name: string
    abilities: Schemas['Ability'][]
    storage: string | null
    /** Why it cannot be had, and what to do. */
    problem: string | null
  }
  /** The requests that a value is put into. */
  Binding: {
    /** `api.example.com`, or `*.example.com` for all names below it; `:port` where it is not 443. */
    hosts: string[]
    /** Methods. None: every one. */
    methods: string[]
    /** Paths, exactly or with `*` at their end for all that begin so. None: every one. */
    paths: string[]
    /** Headers that the placeholder may stand in. None: `authorization`. */
    headers: string[]
  }
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
  /** What may be spent, in US dollars; null: no bound. */
  Budget: {
    /** For one run. */
    runUsd: number | null
    /** In a calendar month (UTC). */
    monthUsd: number | null
    totalUsd: number | null
    spent: Schemas['Spent']
  }
  /** Work inside a machine that forbids pausing it (`GET /toft/activity`). */
  Busy: {
    /** `agent`, `tool`, `terminal` or `exec`. */
    kind: string
    /** Which one, for people: a session's name, a command. */
    what: string
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
  /** What became of a cancel. */
  CancelledRun: {
    id: string
    projectId: string
    status: Schemas['RunStatus']
    /** Whether this ended it. */
    cancelled: boolean
    writable: boolean
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
  /** A path that differs, and how many lines of it. */
  CandidateChange: {
    /** As seen inside the machine (`/home/project/app.py`). Bytes that are no UTF-8 are replaced. */
    path: string
    /** How. */
    kind: Schemas['ChangeKind']
    /** Bytes of the file before, if it was one. */
    sizeBefore: number | null
    /** Bytes of the file after, if it is one. */
    sizeAfter: number | null
    /** Lines that came; null where they were not counted. */
    added: number | null
    /** Lines that went. */
    removed: number | null
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
  /** What differs: of all paths, or of one file. */
  CandidateCompared: Schemas['CandidateDiff'] | Schemas['FileDiff']
  /** What a candidate has changed. */
  CandidateDiff: {
    changes: Schemas['CandidateChange'][]
    /** Whether there are more. */
    truncated: boolean
    /** Lines that came, of the project's files. */
    added: number
    /** Lines that went. */
    removed: number
    /** False: there are files of the project among them whose lines were not counted: binary, long or many. */
    counted: boolean
  }
  /** Which comparison a fork belongs to. */
  CandidateOf: {
    /** The project that was forked. */
    projectId: string
    comparisonId: string
  }
  /** What stays of a run whose fork is gone. */
  CandidateOutcome: {
    status: Schemas['RunStatus']
    provider: string | null
    model: string | null
    cost: Schemas['RunCost'] | null
    durationMs: number | null
  }
  /** What it can do, in the words of the Platform Agent. */
  Capabilities: {
    name: string
    actions: string[]
    constraints: Record<string, unknown>
    env: Record<string, unknown>
  }
  /** What becomes of slots whose time passed while nobody could start them. */
  CatchUp: 'latest' | 'none' | 'all'
  /** Why a checkpoint was taken. */
  Cause: 'manual' | 'prompt' | 'restore' | 'fork'
  /** A path that differs. */
  Change: {
    /** As seen inside the machine (`/home/project/app.py`). Bytes that are no UTF-8 are replaced. */
    path: string
    /** How. */
    kind: Schemas['ChangeKind']
    /** Bytes of the file before, if it was one. */
    sizeBefore: number | null
    /** Bytes of the file after, if it is one. */
    sizeAfter: number | null
  }
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
  /** Paths that differ. */
  CheckpointDiff: {
    changes: Schemas['Change'][]
    truncated: boolean
    affectedSessions: Schemas['AffectedSession'][]
  }
  /** The rule on the wire. */
  CheckpointRule: {
    last: number
    hourly: number
    daily: number
    automatic: boolean
  }
  /** Checkpoints of a project. */
  Checkpoints: {
    /** Newest first. */
    checkpoints: Schemas['ListedCheckpoint'][]
    rule: Schemas['KeepRule']
    /** Whether one is taken before each prompt. */
    automatic: boolean
    /** What is to be known when one was not taken, or fewer are kept than the rule says. */
    why?: string | null
  }
  /** What became of the commit. */
  Commit: {
    result: 'made'
    /** Its hash. */
    commitSha: string
  } | {
    result: 'skipped'
    /** Why. */
    reason: string
  } | {
    result: 'failed'
    /** Git's words. */
    error: string
  }
  /** What differs: of all paths, or of one file. */
  Compared: Schemas['CheckpointDiff'] | Schemas['FileDiff']
  /** Several runs of one prompt, side by side. Times are RFC 3339. */
  Comparison: {
    id: string
    projectId: string
    status: 'making' | 'open' | 'keeping' | 'dropping' | 'kept' | 'dropped' | 'failed'
    /** What went wrong last. */
    error: string | null
    prompt: string
    /** The checkpoint that all began from. */
    baseCheckpointId: string | null
    keptRunId: string | null
    candidates: Schemas['Candidate'][]
    createdAt: string
    updatedAt: string
  }
  /** What this server is, and what there is below `/v1`. */
  Contents: {
    name: string
    status: string
    version: string
    /** Where this is told at length. */
    docs: string[]
    /** Method and path of each operation. */
    endpoints: string[]
    legacyEndpoints: string[]
  }
  /** Of what was deleted. */
  DeletedCheckpointId: {
    id: string
    deleted: boolean
  }
  /** An image that was deleted. */
  DeletedImage: {
    key: string
    deleted: boolean
  }
  /** Of what was deleted. */
  DeletedProjectId: {
    id: string
    deleted: boolean
  }
  /** Of what was deleted. */
  DeletedScheduleId: {
    id: string
    deleted: boolean
  }
  /** Something that was sent, or is to be. Times are RFC 3339. */
  Delivery: {
    /** The same however often it is sent. */
    id: string
    runId: string
    projectId: string
    attempts: number
    delivered: boolean
    /** What the last attempt came to. */
    said: string | null
    /** Null when it is over. */
    nextAt: string | null
    doneAt: string | null
    createdAt: string
  }
  /** What is counted, and what had to be looked for. */
  Disk: {
    /** Bytes that it and its checkpoints have written, and that still exist; up to half a minute old. What a fork has from its origin is not among them. Only where something counts them. */
    exclusiveBytes: number | null
    /** The bound of that, if it has one that is in force. */
    quotaBytes: number | null
    /** Bytes that all projects together may still write. */
    freeBytes: number | null
    /** With less free than this, automatic checkpoints yield. */
    yieldBelowBytes: number | null
    /** Bytes that all projects, their checkpoints, images and templates take. Only where they have a disk image of their own. */
    totalBytes: number | null
    /** The bound of that. */
    capBytes: number | null
    sharedBytes: number | null
    logBytes: number | null
  }
  /** What this host can enforce. */
  Doctor: {
    /** Of the server's own backend. */
    abilities: Schemas['Ability'][]
    /** Each that projects may have here, the server's own first. */
    backends: Schemas['BackendReport'][]
    version: string
    /** The server's own folder. */
    dataDir: string
    storage: string
    /** Which database it keeps its records in. */
    database: string
    /** Where traces go, and how that goes. */
    traces: Schemas['TracesReport'][]
  }
  /** Of what has nothing to tell: an empty object. */
  Done: Record<string, never>
  /** What a machine may reach. */
  Egress: {
    level: Schemas['EgressName']
    /** Hosts, for the level `allow-list`. */
    rules: string[]
    /** Whether nobody has set it. */
    isDefault: boolean
    /** The widest level that it may have. */
    ceiling: Schemas['EgressName']
    /** Whether that is the server's. */
    ceilingIsDefault: boolean
    /** The narrower one of both. */
    inForce: Schemas['EgressName']
    /** Whether all that it sends passes the gateway. */
    enforced: boolean
    /** Open connections that this has ended. */
    cut: number
  }
  /** What went out, or was refused. */
  EgressLine: {
    /** Its place in the log. */
    seq: number
    /** RFC 3339; of several, of the first. */
    at: string
    /** RFC 3339; of several, of the last. */
    lastAt: string | null
    /** How many it stands for. */
    count: number
    via: 'connect' | 'http' | 'direct' | 'https'
    host: string | null
    port: number | null
    /** `allow` or `deny`. */
    verdict: 'allow' | 'deny'
    /** What decided. */
    rule: string
    /** Names of the brokered secrets whose values were put in. */
    secrets: string[]
    /** Of a refusal, in words. */
    reason: string | null
    bytesIn: number
    bytesOut: number
    durationMs: number
    /** What went wrong. */
    error: string | null
    /** The rule that would allow what was refused. */
    allowRule: string | null
  }
  /** A part of the log of the way out. */
  EgressLog: {
    /** Newest first. */
    lines: Schemas['EgressLine'][]
    open: Schemas['OpenConnection'][]
    /** Ask for what comes after it. */
    end: number
  }
  /** Names of the levels, each wider than those before it. */
  EgressName: 'none' | 'allow-list' | 'open'
  /** What became of a program. */
  ExecExit: {
    /** Null when a signal ended it. */
    exitCode: number | null
    signal: number | null
    stdout: string
    stderr: string
    /** Whether there was more output than is kept. */
    truncated: boolean
    durationMs: number
    timedOut: boolean
    /** With `timedOut`: why it stood still. */
    paused: string | null
  }
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
  /** Models that stand in for others. */
  Fallbacks: {
    /** By `PROVIDER/MODEL`, or `PROVIDER/*`: who is asked in its place, in this order. */
    chains: Record<string, string[]>
    firstByteS: number
    /** Those that the file of configuration has. */
    fromFile: string[]
    /** Names that no catalogue lists. */
    unlisted: string[]
  }
  /** What was passed on. */
  Fed: {
    bytes: number
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
  /** What became of a slot, or of several. Times are Unix milliseconds. */
  Firing: {
    id: string
    slot: number
    lastSlot: number
    /** How many slots it stands for. */
    slots: number
    byHand: boolean
    outcome: 'running' | 'fired' | 'late' | 'skipped' | 'suppressed' | 'failed'
    /** Why it came to that. */
    reason: string | null
    /** Whether it waits for the end of the one before. */
    waiting: boolean
    startedAt: number | null
    endedAt: number | null
    exitCode: number | null
    output: string | null
    sessionId: string | null
  }
  /** What became of slots. */
  Firings: {
    /** Newest slot first. */
    firings: Schemas['Firing'][]
  }
  /** What was forked. */
  Forks: {
    projects: Schemas['Project'][]
  }
  /** Whether it answers. */
  Health: {
    status: string
    ts: string
  }
  /** When a machine that nobody uses is put away. `None`: never. */
  IdleRule: {
    /** Seconds without use until its processes are paused in memory. */
    freezeAfterS: number | null
    /** Seconds without use until its processes end. */
    coldAfterS: number | null
  }
  /** An image as the API shows it. */
  Image: {
    key: string
    name: string
    /** What it was made of. */
    kind: 'host' | 'folder' | 'tarball' | 'oci' | 'template'
    source: string
    /** RFC 3339; null of `host`. */
    createdAt: string | null
    bytes: number | null
    /** `making`, `ready` or `failed`. */
    state: 'making' | 'ready' | 'failed'
    /** Whether new projects are made of it. */
    default: boolean
    /** Why it failed. */
    reason?: string | null
    /** While it is made. */
    progress?: Schemas['ImageProgress'] | null
  }
  /** How far it is. */
  ImageProgress: {
    /** `pulling`, `unpacking`, `set-up`. */
    stage: string
    doneBytes: number
    /** 0 when nobody knows. */
    totalBytes: number
  }
  /** All images. */
  Images: {
    images: Schemas['Image'][]
  }
  /** Which automatic checkpoints are kept. Those that a person asked for or labelled stay until they are deleted. */
  KeepRule: {
    /** The newest ones. */
    last: number
    /** The newest one of each of the last hours that have any. */
    hourly: number
    /** The newest one of each of the last days (UTC) that have any. */
    daily: number
  }
  /** The file that keys were found in. */
  KeysFile: {
    path: string | null
    /** What is wrong with it now. */
    problem: string | null
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
  /** A checkpoint in the list, with the beginning of its message when that is asked for and known. */
  ListedCheckpoint: {
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
    prompt?: string | null
    /** The backend that it lies with, when the project has moved to another since: it can be forked, and gone back to when the project is there again. */
    backend?: string | null
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
  /** What a machine may use. */
  MachineLimits: {
    limits: Schemas['Limits']
    /** Names of those that are enforced here. */
    enforced: string[]
  }
  /** Where a machine is in its life. */
  MachineState: 'creating' | 'running' | 'frozen' | 'cold' | 'stopped' | 'error' | 'destroyed'
  /** What it uses now; null where nothing counts it. */
  MachineUse: {
    memoryBytes: number | null
    pids: number | null
  }
  /** A comparison that was asked for. */
  MadeComparison: {
    id: string
    projectId: string
    status: 'making' | 'open' | 'keeping' | 'dropping' | 'kept' | 'dropped' | 'failed'
    /** What went wrong last. */
    error: string | null
    prompt: string
    /** The checkpoint that all began from. */
    baseCheckpointId: string | null
    keptRunId: string | null
    candidates: Schemas['Candidate'][]
    createdAt: string
    updatedAt: string
    /** Whether this request made it; false: it was known by its key. */
    created: boolean
  }
  /** A project that was asked for. */
  MadeProject: {
    id: string
    /** A name of the caller's own for it. */
    alias: string | null
    name: string
    /** Where its app is shown, for who has an entry (`POST …/preview`). */
    url: string
    state: Schemas['MachineState']
    /** Why it is so, where something is wrong. */
    stateReason: string | null
    /** What makes its machine: `native`, `host`, `oci` or `e2b`. */
    backend: string
    /** Its newest run. */
    latestRunId: string | null
    /** RFC 3339. */
    createdAt: string
    /** RFC 3339. */
    updatedAt: string
    agentStatus: Schemas['AgentStatus']
    /** Whether it was made now. */
    created: boolean
  }
  /** A sign-in at an MCP server. Of one that is missing only its name and host are known. */
  McpConnection: {
    /** Name of the secret that it lies in. */
    secret: string
    server: string | null
    url: string | null
    host: string | null
    issuer: string | null
    scopes: string[] | null
    /** RFC 3339. */
    connectedAt: string | null
    connectedBy: string | null
    /** RFC 3339. */
    expiresAt: string | null
    state: Schemas['McpConnectionState']
    /** Why it has ended. */
    error: string | null
  }
  /** Where a sign-in stands. */
  McpConnectionState: 'connected' | 'ended' | 'missing'
  /** Sign-ins of a project. */
  McpConnections: {
    connections: Schemas['McpConnection'][]
  }
  /** A sign-in that was given up. */
  McpEnded: {
    /** Whether who gave it was told, and agreed. */
    revoked: boolean
  }
  /** A sign-in that a person is to finish. */
  McpSignIn: {
    /** To be opened in the person's browser. */
    authorizationUrl: string
    host: string
    serverHost: string
    scopes: string[]
    /** RFC 3339. */
    expiresAt: string
  }
  /** Who asks, and what server this is. */
  Me: {
    user: Schemas['User']
    server: Schemas['ThisServer']
  }
  /** Of every enveloped answer. */
  Meta: {
    apiVersion: 'v1'
    /** When it was answered. */
    ts: string
  }
  /** How many runs and machines there are. */
  Metrics: {
    runs: Schemas['StatusCount'][]
    /** Runs by the status of their job. */
    jobs: Schemas['StatusCount'][]
    machines: Schemas['StateCount'][]
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
  /** What the programs of a project may ask of models. `None`: no limit of its own. */
  ModelLimits: {
    /** Model calls under way at once. */
    callsAtOnce: number | null
    /** Model calls that begin within any minute. */
    callsPerMinute: number | null
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
  /** What a model costs, for 1,000 tokens. */
  ModelPrice: {
    provider: string
    model: string
    currency: string
    inputCostPer1k: number
    outputCostPer1k: number
    cachedInputCostPer1k: number | null
    reasoningOutputCostPer1k: number | null
    pricingVersion: string
    active: boolean
    /** RFC 3339. */
    updatedAt: string
  }
  /** A model by provider and id. */
  ModelRef: {
    /** Provider id, for example `anthropic`; `demo` is the scripted one. */
    provider: string
    /** Model id as the provider names it. */
    id: string
  }
  /** The file of models and providers of one's own. */
  ModelsFile: {
    path: string
    /** Providers that it has. */
    providers: string[]
    /** How many models it tells of. */
    models: number
    /** What is wrong with it now. */
    problem: string | null
  }
  /** A key that was just made. */
  NewApiKey: {
    id: string
    name: string
    /** How the key begins. */
    prefix: string
    scopes: Schemas['Scope'][]
    /** The only project that it opens; null: all. */
    projectId: string | null
    /** Unix milliseconds. */
    createdAt: number
    /** Who made it; null where a key did, or the person is gone. */
    createdBy: string | null
    /** Unix milliseconds; null: never. */
    expiresAt: number | null
    expired: boolean
    /** Unix milliseconds; null: never. */
    lastUsedAt: number | null
    /** What opens: told this once. */
    key: string
  }
  /** A webhook that was just made. */
  NewWebhook: {
    id: string
    /** Null: of all projects. */
    projectId: string | null
    url: string
    /** RFC 3339. */
    createdAt: string
    /** What is signed with: told this once. */
    secret: string
  }
  /** A project that was looked at alone. */
  OneProject: {
    id: string
    /** A name of the caller's own for it. */
    alias: string | null
    name: string
    /** Where its app is shown, for who has an entry (`POST …/preview`). */
    url: string
    state: Schemas['MachineState']
    /** Why it is so, where something is wrong. */
    stateReason: string | null
    /** What makes its machine: `native`, `host`, `oci` or `e2b`. */
    backend: string
    /** Its newest run. */
    latestRunId: string | null
    /** RFC 3339. */
    createdAt: string
    /** RFC 3339. */
    updatedAt: string
    agentStatus: Schemas['AgentStatus']
    /** It is a fork whose run is compared with others. */
    candidateOf: Schemas['CandidateOf'] | null
  }
  /** A person. */
  OneUser: {
    user: Schemas['User']
  }
  /** A connection that is open. */
  OpenConnection: {
    id: number
    /** RFC 3339. */
    at: string
    /** What was asked: a request, a tunnel, a connection, … */
    via: 'connect' | 'http' | 'direct' | 'https'
    host: string
    port: number
    /** What allowed it. */
    rule: string
    bytesIn: number
    bytesOut: number
  }
  /** What becomes of a slot that is due while the one before still runs. */
  Overlap: 'skip' | 'queue' | 'cancel' | 'allow'
  /** The steps of a run inside its machine, in order. */
  Phase: 'plan' | 'build' | 'commit' | 'over'
  /** Where a conversation stood. */
  Place: {
    /** Which. */
    sessionId: string
    /** Its last entry then; none while it was empty. */
    leafEntryId: string | null
  }
  /** A plan of a conversation. */
  PlanReady: {
    /** Its entry in the conversation. */
    planId: string
    /** The answer that it was read from; of an edited one, the plan before. */
    of?: string | null
    /** Where it was read from. */
    source: Schemas['PlanSource']
    /** In a few sentences. */
    summary: string
    /** Its steps, in order. */
    todos: Schemas['PlanTodo'][]
  }
  /** Where a plan was read from. */
  PlanSource: 'json' | 'list' | 'text' | 'edited'
  /** One step of a plan. */
  PlanTodo: {
    /** Unique in its plan; made up where there is none. */
    id: string
    /** In a line. */
    title: string
    /** More of it. */
    details?: string | null
    /** What holds when it is done. */
    acceptanceCriteria?: string[]
  }
  /** What opens a preview, once. */
  PreviewEntry: {
    url: string
    /** RFC 3339. */
    expiresAt: string
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
  /** A project. */
  Project: {
    id: string
    /** A name of the caller's own for it. */
    alias: string | null
    name: string
    /** Where its app is shown, for who has an entry (`POST …/preview`). */
    url: string
    state: Schemas['MachineState']
    /** Why it is so, where something is wrong. */
    stateReason: string | null
    /** What makes its machine: `native`, `host`, `oci` or `e2b`. */
    backend: string
    /** Its newest run. */
    latestRunId: string | null
    /** RFC 3339. */
    createdAt: string
    /** RFC 3339. */
    updatedAt: string
    agentStatus: Schemas['AgentStatus']
  }
  /** Models that stand in for others in a project. */
  ProjectFallbacks: {
    /** The project's own. */
    chains: Record<string, string[]>
    /** What holds for all projects beside them. */
    inherited: Record<string, string[]>
    /** Names that no catalogue lists. */
    unlisted: string[]
  }
  /** See the module. */
  Provider: {
    id: string
    name: string
    api: Schemas['Api']
    configured: boolean
    source: 'env' | 'file' | 'settings' | null
    /** Where the key is, or may be; none of one that has no such variable. */
    envVar: string | null
    /** Of the source `file`. */
    file: string | null
    /** Why the key that was given cannot be one, or why nobody is there. */
    problem: string | null
    keyHint: string | null
    baseUrl: string
    models: number
    /** A server of models of this machine. */
    local: boolean
    /** From the file of models. */
    own: boolean
    /** It can be asked without a key. */
    keyless: boolean
  }
  /** A request to a model that failed, as the programs of its provider know it. */
  ProviderFailure: Record<string, unknown>
  /** A provider that can be called. */
  ProviderInfo: {
    /** Provider id: also the path segment under `/llm/`. */
    id: string
    /** Name for people. */
    name: string
    /** Wire format. */
    api: Schemas['Api']
  }
  /** What came of asking a provider with its key. */
  ProviderTest: {
    ok: boolean
    /** The provider's own words where there are any. */
    message: string
    latencyMs: number
  }
  /** What was gone back to. */
  Restored: {
    checkpoint: Schemas['Checkpoint']
    /** How it was, kept before that. */
    before: Schemas['Checkpoint']
    affectedSessions: Schemas['AffectedSession'][]
    machine: Schemas['Machine']
  }
  /** A key that opens nothing any more. */
  Revoked: {
    id: string
    revoked: boolean
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
  /** A message of a run. */
  RunMessage: {
    id: string
    projectId: string
    runId: string
    /** `user` or `assistant`. */
    role: 'user' | 'assistant'
    content: string
    /** JSON that came with it. */
    input: unknown
    /** RFC 3339. */
    createdAt: string
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
  /** Where a run is, by the word of its bridge: `GET /toft/runs/{id}`. */
  RunNow: {
    /** Which run. */
    id: string
    /** The largest one that it was handed over with. */
    fence: number
    /** How often it was tried. */
    attempt: number
    /** The conversation that it goes on in. */
    sessionId: string
    /** The phase that it is in. */
    phase: Schemas['Phase']
    /** How it ended; `None`: it has not. */
    status: Schemas['RunStatus'] | null
    /** What it waits for. */
    waitsFor: Schemas['WaitsFor'] | null
    /** The plan that it builds, or that waits; not in lists. */
    plan?: Schemas['PlanReady'] | null
    /** What became of the commit. */
    commit: Schemas['Commit'] | null
    /** What went wrong. */
    error: string | null
    /** The last number of the event log before its first event. */
    afterSeq: number
    /** The number of its last event, once it is over. */
    endSeq: number | null
  }
  /** What was said to a run. */
  RunSaid: {
    role: string
    content: string
    /** RFC 3339. */
    createdAt: string
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
  /** A schedule. Times are Unix milliseconds. */
  Schedule: {
    id: string
    name: string
    when: Schemas['When']
    do: Schemas['Work']
    catchUp: Schemas['CatchUp']
    catchUpMax: number
    overlap: Schemas['Overlap']
    enabled: boolean
    timeoutMs: number
    /** Null when there is no slot to come. */
    nextAt: number | null
    createdAt: number
    updatedAt: number
    lastFiring: Schemas['Firing'] | null
  }
  /** A schedule, with its next slots. */
  ScheduleAhead: {
    id: string
    name: string
    when: Schemas['When']
    do: Schemas['Work']
    catchUp: Schemas['CatchUp']
    catchUpMax: number
    overlap: Schemas['Overlap']
    enabled: boolean
    timeoutMs: number
    /** Null when there is no slot to come. */
    nextAt: number | null
    createdAt: number
    updatedAt: number
    lastFiring: Schemas['Firing'] | null
    upcoming: number[]
  }
  /** Schedules of a project. */
  Schedules: {
    schedules: Schemas['Schedule'][]
  }
  /** What a key opens. */
  Scope: 'models' | 'read' | 'admin'
  /** A secret as people see it. */
  Secret: {
    name: string
    kind: 'environment' | 'brokered' | 'mcp'
    /** Of a brokered one. */
    binding: Schemas['Binding'] | null
    state: Schemas['SecretState']
    revision: number
    setAt: number
    setBy: string | null
  }
  /** Whether there is a value. */
  SecretState: 'set' | 'missing' | 'unreadable'
  /** Secrets of a project: never their values. */
  Secrets: {
    revision: number
    /** Whether new processes of its machine find this revision; null while it does not run. */
    inForce: boolean | null
    secrets: Schemas['Secret'][]
  }
  /** Settings of the team, and a person's. */
  Settings: {
    defaultProvider: string | null
    defaultModel: string | null
    defaultThinkingLevel: string | null
    /** Whether servers of models on this machine are looked for. */
    localModels: boolean
    /** `light`, `dark` or `system`; null: nothing was chosen. */
    theme: string | null
  }
  /** What a person may do, as the API says it. */
  ShownRole: 'admin' | 'member'
  /** A link that signs in once. */
  SignInLink: {
    url: string
    /** RFC 3339. */
    expiresAt: string
  }
  /** What was spent, in US dollars. */
  Spent: {
    monthUsd: number
    totalUsd: number
  }
  /** How many machines there are in a state. */
  StateCount: {
    state: string
    count: number
  }
  /** How many there are of a status. */
  StatusCount: {
    status: string
    count: number
  }
  /** What a status does not say. */
  StatusDetail: 'waiting_host'
  /** The server that answers. */
  ThisServer: {
    version: string
    /** By which name it was asked. */
    host: string | null
    /** Addresses of previews, with `{label}` for the project's; null where they go by port. */
    previewPattern: string | null
    /** What makes machines of projects that name nothing else: `native`, `host`, `oci` or `e2b`. */
    backend: string
    /** All that projects and runs may name here as `workspaceBackend`. */
    backends: string[]
    /** Whether no provider but the scripted one can be asked. */
    demoOnly: boolean
  }
  /** What goes along. */
  TracesContent: {
    inputs: boolean
    outputs: boolean
  }
  /** What is wrong. */
  TracesProblem: {
    /** Unix milliseconds. */
    at: number
    code: string
    message: string
  }
  /** How it stands with a place that takes traces. */
  TracesReport: {
    sink: string
    /** Without its path. */
    endpoint: string
    content: Schemas['TracesContent']
    spansAccepted: number
    spansRejected: number
    spansLeftOut: number
    /** Unix milliseconds. */
    lastAcceptedAt: number | null
    projectsWaiting: number
    /** Unix milliseconds. */
    waitingSince: number | null
    problem: Schemas['TracesProblem'] | null
  }
  /** Model calls of some days, added up. */
  Usage: {
    /** The first day (UTC). */
    from: string
    /** The last day (UTC). */
    to: string
    by: Schemas['UsageBy']
    rows: Schemas['UsageRow'][]
    /** Whether there are more rows. */
    truncated: boolean
    total: Schemas['UsageFigures']
  }
  UsageBy: 'day' | 'project' | 'session' | 'run' | 'model' | 'provider'
  /** Calls, tokens and cost. */
  UsageFigures: {
    calls: number
    failed: number
    input: number
    output: number
    cacheRead: number
    cacheWrite: number
    /** Null when there are calls and the cost of none is known; else of those whose cost is known. */
    costUsd: number | null
    /** Calls whose cost is not known. */
    unpriced: number
  }
  /** Of one day, project, conversation, run, model or provider. */
  UsageRow: {
    /** The day, or the id; null where none is known. */
    key: string | null
    name?: string | null
    deleted?: boolean | null
    project?: string | null
    projectName?: string | null
    session?: string | null
    provider?: string | null
    calls: number
    failed: number
    input: number
    output: number
    cacheRead: number
    cacheWrite: number
    /** Null when there are calls and the cost of none is known; else of those whose cost is known. */
    costUsd: number | null
    /** Calls whose cost is not known. */
    unpriced: number
  }
  /** A person, or a key in the place of one. */
  User: {
    id: string
    name: string
    /** Null of a key. */
    email: string | null
    role: Schemas['ShownRole']
    hasPassword: boolean
  }
  /** What a run that is not over waits for, when it is not its own work. */
  WaitsFor: 'approval' | 'answer' | 'host' | 'provider'
  /** Why it was woken. */
  Wake: {
    /** RFC 3339. */
    at: string
    cause: string
    /** In which state it was. */
    was: Schemas['MachineState'] | null
  }
  /** An address that is told of runs that are over. */
  Webhook: {
    id: string
    /** Null: of all projects. */
    projectId: string | null
    url: string
    /** RFC 3339. */
    createdAt: string
  }
  /** A webhook, with what was sent there. */
  WebhookDeliveries: {
    id: string
    /** Null: of all projects. */
    projectId: string | null
    url: string
    /** RFC 3339. */
    createdAt: string
    /** Newest first. */
    deliveries: Schemas['Delivery'][]
  }
  /** When it is due. */
  When: {
    /** Five fields, as crontab(5) has them. */
    cron: string
    /** A name of the tz database; UTC when absent. */
    timezone?: string | null
  } | {
    /** Seconds between two. */
    everyS: number
  } | {
    /** Unix milliseconds. */
    at: number
  }
  /** What runs. */
  Work: {
    /** A line for the shell, as `exec` takes it. */
    command: string
  } | {
    /** The text. */
    prompt: string
    /** In which conversation; a new one each time when absent. */
    sessionId?: string | null
  }
}

/** What each operation takes, and the data of its answer. */
export interface Operations {
  /** `GET /` */
  getRoot: {
    data: Schemas['Contents']
  }
  /** `GET /health` */
  getRootHealth: {
    data: Schemas['Health']
  }
  /** `GET /capabilities` */
  getRootCapabilities: {
    data: Schemas['Capabilities']
  }
  /** `GET /openapi.json` */
  getRootOpenapiJson: {
    data: Record<string, unknown>
  }
  /** `GET /v1` */
  get: {
    data: Schemas['Contents']
  }
  /** `GET /v1/health` */
  getHealth: {
    data: Schemas['Health']
  }
  /** `GET /v1/capabilities` */
  getCapabilities: {
    data: Schemas['Capabilities']
  }
  /** `GET /v1/metrics` */
  getMetrics: {
    data: Schemas['Metrics']
  }
  /** `GET /v1/doctor` */
  getDoctor: {
    data: Schemas['Doctor']
  }
  /** `POST /v1/backup` */
  postBackup: {
    body: {
      /** At least 12 characters: what reads the backup again. */
      passphrase: string
    }
  }
  /** `POST /v1/shutdown` */
  postShutdown: {
    body: {
      stopMachines?: boolean
    }
    data: Schemas['Done']
  }
  /** `POST /v1/auth/password` */
  postAuthPassword: {
    body: {
      email: string
      password: string
    }
    data: Schemas['OneUser']
  }
  /** `POST /v1/auth/sign-out` */
  postAuthSignOut: {
    data: Schemas['Done']
  }
  /** `POST /v1/sign-in-links` */
  postSignInLinks: {
    data: Schemas['SignInLink']
  }
  /** `GET /v1/me` */
  getMe: {
    data: Schemas['Me']
  }
  /** `PATCH /v1/me` */
  patchMe: {
    body: {
      name?: string | null
      email?: string | null
      password?: string | null
      currentPassword?: string | null
    }
    data: Schemas['OneUser']
  }
  /** `GET /v1/keys` */
  getKeys: {
    data: Schemas['ApiKeys']
  }
  /** `POST /v1/keys` */
  postKeys: {
    body: {
      name: string
      scopes: ('models' | 'read' | 'admin')[]
      project?: string | null
      expiresAt?: number | null
    }
    data: Schemas['NewApiKey']
  }
  /** `DELETE /v1/keys/{id}` */
  deleteKeysId: {
    data: Schemas['Revoked']
  }
  /** `GET /v1/settings` */
  getSettings: {
    data: Schemas['Settings']
  }
  /** `PUT /v1/settings` */
  putSettings: {
    body: {
      defaultProvider?: string | null
      defaultModel?: string | null
      defaultThinkingLevel?: string | null
      localModels?: boolean | null
      theme?: string | null
    }
    data: Schemas['Settings']
  }
  /** `POST /v1/vault/rotate` */
  postVaultRotate: {
    data: Schemas['Done']
  }
  /** `GET /v1/images` */
  getImages: {
    data: Schemas['Images']
  }
  /** `POST /v1/images` */
  postImages: {
    body: {
      source?: string | null
      folders?: string[] | null
      fromCheckpoint?: {
        projectId: string
        checkpointId: string
      } | null
      fromImage?: string | null
      name?: string | null
      setup?: string | null
      plainHttp?: boolean
      user?: string | null
      password?: string | null
    }
    data: Schemas['AddedImage']
  }
  /** `GET /v1/images/{key}` */
  getImagesKey: {
    data: Schemas['Image']
  }
  /** `PATCH /v1/images/{key}` */
  patchImagesKey: {
    body: {
      name?: string | null
      default?: boolean | null
    }
    data: Schemas['Image']
  }
  /** `DELETE /v1/images/{key}` */
  deleteImagesKey: {
    data: Schemas['DeletedImage']
  }
  /** `GET /v1/projects` */
  getProjects: {
    data: Schemas['Project'][]
  }
  /** `POST /v1/projects` */
  postProjects: {
    body: {
      id?: string | null
      name?: string | null
      image?: string | null
      /** What to change; what is left out stays. */
      egress?: {
        level?: 'none' | 'allow-list' | 'open' | null
        rules?: string[] | null
        /** `null`: the server's. */
        ceiling?: 'none' | 'allow-list' | 'open' | null
      } | null
      /** What is to make its machine: `native`, `host`, `oci` or `e2b`, as far as the server offers it; the server's own when absent. */
      workspaceBackend?: string | null
      /** False: its machine is made by the first who needs it, on that one's server. */
      start?: boolean | null
    }
    data: Schemas['MadeProject']
  }
  /** `GET /v1/projects/{id}` */
  getProjectsId: {
    data: Schemas['OneProject']
  }
  /** `PATCH /v1/projects/{id}` */
  patchProjectsId: {
    body: {
      name: string
    }
    data: Schemas['Project']
  }
  /** `DELETE /v1/projects/{id}` */
  deleteProjectsId: {
    data: Schemas['DeletedProjectId']
  }
  /** `POST /v1/projects/{id}/preview` */
  postProjectsIdPreview: {
    body: {
      port?: number | null
    }
    data: Schemas['PreviewEntry']
  }
  /** `POST /v1/projects/{id}/fork` */
  postProjectsIdFork: {
    body: {
      name?: string | null
      checkpointId?: string | null
      sessionId?: string | null
      entryId?: string | null
      count?: number | null
      /** Values that a fork gets. */
      secrets?: string[] | 'all'
    }
    data: Schemas['Forks']
  }
  /** `GET /v1/projects/{id}/machine` */
  getProjectsIdMachine: {
    data: Schemas['Machine']
  }
  /** `POST /v1/projects/{id}/start` */
  postProjectsIdStart: {
    data: Schemas['Machine']
  }
  /** `POST /v1/projects/{id}/stop` */
  postProjectsIdStop: {
    data: Schemas['Machine']
  }
  /** `POST /v1/projects/{id}/wake` */
  postProjectsIdWake: {
    data: Schemas['Machine']
  }
  /** `POST /v1/projects/{id}/sleep` */
  postProjectsIdSleep: {
    data: Schemas['Machine']
  }
  /** `POST /v1/projects/{id}/freeze` */
  postProjectsIdFreeze: {
    data: Schemas['Machine']
  }
  /** `POST /v1/projects/{id}/thaw` */
  postProjectsIdThaw: {
    data: Schemas['Machine']
  }
  /** `GET /v1/projects/{id}/limits` */
  getProjectsIdLimits: {
    data: Schemas['MachineLimits']
  }
  /** `PUT /v1/projects/{id}/limits` */
  putProjectsIdLimits: {
    body: {
      memoryBytes?: number | null
      cpus?: number | null
      pids?: number | null
      diskBytes?: number | null
      logBytes?: number | null
    }
    data: Schemas['MachineLimits']
  }
  /** `GET /v1/projects/{id}/idle` */
  getProjectsIdIdle: {
    data: Schemas['IdleRule']
  }
  /** `PUT /v1/projects/{id}/idle` */
  putProjectsIdIdle: {
    body: {
      freezeAfterS?: number | null
      coldAfterS?: number | null
    }
    data: Schemas['IdleRule']
  }
  /** `GET /v1/projects/{id}/disk` */
  getProjectsIdDisk: {
    data: Schemas['Disk']
  }
  /** `POST /v1/projects/{id}/exec` */
  postProjectsIdExec: {
    body: {
      command?: string | null
      argv?: string[] | null
      cwd?: string | null
      env?: Record<string, string>
      stdin?: string | null
      /** Standard input comes by its own route and stays open until that ends it. */
      stdinOpen?: boolean
      /** How a stream carries output. */
      encoding?: 'text' | 'base64'
      timeoutMs?: number | null
    }
    data: Schemas['ExecExit']
  }
  /** `POST /v1/projects/{id}/exec/{exec}/stdin` */
  postProjectsIdExecExecStdin: {
    data: Schemas['Fed']
  }
  /** `POST /v1/projects/{id}/exec/{exec}/signal` */
  postProjectsIdExecExecSignal: {
    body: {
      /** Signals that people and shells send. */
      signal: 'HUP' | 'INT' | 'QUIT' | 'KILL' | 'USR1' | 'USR2' | 'TERM' | 'CONT' | 'STOP'
    }
    data: Schemas['Done']
  }
  /** `GET /v1/projects/{id}/checkpoints` */
  getProjectsIdCheckpoints: {
    data: Schemas['Checkpoints']
  }
  /** `POST /v1/projects/{id}/checkpoints` */
  postProjectsIdCheckpoints: {
    body: {
      label?: string | null
    }
    data: Schemas['Checkpoint']
  }
  /** `GET /v1/projects/{id}/checkpoints/{checkpoint}` */
  getProjectsIdCheckpointsCheckpoint: {
    data: Schemas['Checkpoint']
  }
  /** `PATCH /v1/projects/{id}/checkpoints/{checkpoint}` */
  patchProjectsIdCheckpointsCheckpoint: {
    body: {
      /** Null takes it off; it must be there. */
      label?: string | null
    }
    data: Schemas['Checkpoint']
  }
  /** `DELETE /v1/projects/{id}/checkpoints/{checkpoint}` */
  deleteProjectsIdCheckpointsCheckpoint: {
    data: Schemas['DeletedCheckpointId']
  }
  /** `GET /v1/projects/{id}/checkpoints/{checkpoint}/diff` */
  getProjectsIdCheckpointsCheckpointDiff: {
    data: Schemas['Compared']
  }
  /** `POST /v1/projects/{id}/checkpoints/{checkpoint}/restore` */
  postProjectsIdCheckpointsCheckpointRestore: {
    body: {
      force?: boolean
      /** Where a conversation stood. */
      place?: {
        /** Which. */
        sessionId: string
        /** Its last entry then; none while it was empty. */
        leafEntryId?: string | null
      } | null
    }
    data: Schemas['Restored']
  }
  /** `PUT /v1/projects/{id}/checkpoint-rule` */
  putProjectsIdCheckpointRule: {
    body: {
      last?: number | null
      hourly?: number | null
      daily?: number | null
      automatic?: boolean | null
    }
    data: Schemas['CheckpointRule']
  }
  /** `POST /v1/projects/{id}/restore-message` */
  postProjectsIdRestoreMessage: {
    body: {
      sessionId: string
      entryId: string
      force?: boolean
    }
    data: Schemas['Restored']
  }
  /** `GET /v1/projects/{id}/egress` */
  getProjectsIdEgress: {
    data: Schemas['Egress']
  }
  /** `PUT /v1/projects/{id}/egress` */
  putProjectsIdEgress: {
    body: {
      level?: 'none' | 'allow-list' | 'open' | null
      rules?: string[] | null
      /** `null`: the server's. */
      ceiling?: 'none' | 'allow-list' | 'open' | null
    }
    data: Schemas['Egress']
  }
  /** `POST /v1/projects/{id}/egress/rules` */
  postProjectsIdEgressRules: {
    body: {
      rule: string
    }
    data: Schemas['Egress']
  }
  /** `GET /v1/projects/{id}/egress/log` */
  getProjectsIdEgressLog: {
    data: Schemas['EgressLog']
  }
  /** `GET /v1/projects/{id}/secrets` */
  getProjectsIdSecrets: {
    data: Schemas['Secrets']
  }
  /** `POST /v1/projects/{id}/secrets` */
  postProjectsIdSecrets: {
    body: {
      /** By their names. */
      values?: Record<string, string | {
        value: string
        /** As it is, if that is left out. */
        kind?: 'environment' | 'brokered' | null
        /** Of a brokered one: the requests that it is put into. */
        binding?: {
          /** `api.example.com`, or `*.example.com` for all names below it; `:port` where it is not 443. */
          hosts: string[]
          /** Methods. None: every one. */
          methods?: string[]
          /** Paths, exactly or with `*` at their end for all that begin so. None: every one. */
          paths?: string[]
          /** Headers that the placeholder may stand in. None: `authorization`. */
          headers?: string[]
        } | null
      }>
      /** Whether a machine that sleeps or is paused goes on with them. */
      wake?: boolean
    }
    data: Schemas['Secrets']
  }
  /** `PUT /v1/projects/{id}/secrets/{name}` */
  putProjectsIdSecretsName: {
    body: {
      value: string
      /** As it is, if that is left out. */
      kind?: 'environment' | 'brokered' | null
      /** Of a brokered one: the requests that it is put into. */
      binding?: {
        /** `api.example.com`, or `*.example.com` for all names below it; `:port` where it is not 443. */
        hosts: string[]
        /** Methods. None: every one. */
        methods?: string[]
        /** Paths, exactly or with `*` at their end for all that begin so. None: every one. */
        paths?: string[]
        /** Headers that the placeholder may stand in. None: `authorization`. */
        headers?: string[]
      } | null
    }
    data: Schemas['Secrets']
  }
  /** `DELETE /v1/projects/{id}/secrets/{name}` */
  deleteProjectsIdSecretsName: {
    data: Schemas['Secrets']
  }
  /** `POST /v1/projects/{id}/rotate-secrets` */
  postProjectsIdRotateSecrets: {
    data: Schemas['Done']
  }
  /** `GET /v1/projects/{id}/mcp` */
  getProjectsIdMcp: {
    data: Schemas['McpConnections']
  }
  /** `POST /v1/projects/{id}/mcp/{server}/connect` */
  postProjectsIdMcpServerConnect: {
    body: {
      /** Of a client that was made there. */
      clientId?: string | null
      clientSecret?: string | null
      /** Others than those that the server asks for. */
      scopes?: string[] | null
    }
    data: Schemas['McpSignIn']
  }
  /** `POST /v1/projects/{id}/mcp/{server}/disconnect` */
  postProjectsIdMcpServerDisconnect: {
    data: Schemas['McpEnded']
  }
  /** `POST /v1/projects/{id}/toft/prompt` */
  postProjectsIdToftPrompt: {
    body: {
      message: string
      images?: {
        /** In base64. */
        data: string
        mimeType: string
      }[]
      /** What becomes of it while the agent works: it waits, unless it is to steer. */
      streamingBehavior?: 'steer' | 'followUp' | null
      /** The conversation; the current one when absent. */
      sessionId?: string | null
      /** Its name: sent again under it, it is not said twice. */
      entryId?: string | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/steer` */
  postProjectsIdToftSteer: {
    body: {
      message: string
      images?: {
        /** In base64. */
        data: string
        mimeType: string
      }[]
      /** What becomes of it while the agent works: it waits, unless it is to steer. */
      streamingBehavior?: 'steer' | 'followUp' | null
      /** The conversation; the current one when absent. */
      sessionId?: string | null
      /** Its name: sent again under it, it is not said twice. */
      entryId?: string | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/follow-up` */
  postProjectsIdToftFollowUp: {
    body: {
      message: string
      images?: {
        /** In base64. */
        data: string
        mimeType: string
      }[]
      /** What becomes of it while the agent works: it waits, unless it is to steer. */
      streamingBehavior?: 'steer' | 'followUp' | null
      /** The conversation; the current one when absent. */
      sessionId?: string | null
      /** Its name: sent again under it, it is not said twice. */
      entryId?: string | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/abort` */
  postProjectsIdToftAbort: {
    body: {
      sessionId?: string | null
      /** Whether what waits is dropped: yes, unless it says no. */
      clearQueue?: boolean | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/retry` */
  postProjectsIdToftRetry: {
    body: {
      /** The conversation; the current one when absent. */
      sessionId?: string | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/queue` */
  postProjectsIdToftQueue: {
    body: {
      sessionId?: string | null
      steering?: string[] | null
      followUp?: string[] | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/answer` */
  postProjectsIdToftAnswer: {
    body: {
      toolCallId: string
      answer: string
      sessionId?: string | null
    }
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/state` */
  getProjectsIdToftState: {
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/config` */
  postProjectsIdToftConfig: {
    body: {
      provider?: string | null
      modelId?: string | null
      /** `off`, `minimal`, `low`, `medium`, `high` or `xhigh`. */
      thinkingLevel?: string | null
      appPort?: number | null
      /** `all` or `one-at-a-time`. */
      steeringMode?: string | null
      /** `all` or `one-at-a-time`. */
      followUpMode?: string | null
      autoCompactionEnabled?: boolean | null
      /** Replaced whole. */
      rules?: unknown[] | null
      /** Replaced whole. */
      limits?: unknown
      autoCheck?: boolean | null
      checkCommand?: string | null
      sessionName?: string | null
      sessionId?: string | null
    }
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/messages` */
  getProjectsIdToftMessages: {
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/sessions` */
  getProjectsIdToftSessions: {
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/sessions/new` */
  postProjectsIdToftSessionsNew: {
    body: {
      name?: string | null
      /** The file of the one that it comes from. */
      parentSession?: string | null
      /** Whether it becomes the current one: yes, unless it says no. */
      current?: boolean | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/sessions/switch` */
  postProjectsIdToftSessionsSwitch: {
    body: {
      sessionId?: string | null
      sessionPath?: string | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/sessions/compact` */
  postProjectsIdToftSessionsCompact: {
    body: {
      customInstructions?: string | null
      sessionId?: string | null
    }
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/sessions/{session}/tree` */
  getProjectsIdToftSessionsSessionTree: {
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/sessions/{session}/fork` */
  postProjectsIdToftSessionsSessionFork: {
    body: {
      /** Its last entry; where the conversation stands when absent. */
      entryId?: string | null
      name?: string | null
      /** Whether it becomes the current one: yes, unless it says no. */
      current?: boolean | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/sessions/{session}/navigate` */
  postProjectsIdToftSessionsSessionNavigate: {
    body: {
      entryId: string
      summarize?: boolean
      customInstructions?: string | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/sessions/{session}/label` */
  postProjectsIdToftSessionsSessionLabel: {
    body: {
      entryId: string
      /** Without it, it has no name any more. */
      label?: string | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/sessions/{session}/mode` */
  postProjectsIdToftSessionsSessionMode: {
    body: {
      /** What a conversation's agent may do. */
      mode: 'build' | 'plan'
    }
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/sessions/{session}/plan` */
  getProjectsIdToftSessionsSessionPlan: {
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/sessions/{session}/plan` */
  postProjectsIdToftSessionsSessionPlan: {
    body: {
      action: 'approve'
      planId?: string | null
      /** The plan as it was changed. */
      plan?: {
        /** In a few sentences. */
        summary: string
        /** Its steps, in order. */
        todos: ({
          /** Unique in its plan; made up where there is none. */
          id?: string
          /** In a line. */
          title: string
          /** More of it. */
          details?: string | null
          /** What holds when it is done. */
          acceptanceCriteria?: string[]
        })[]
      } | null
    } | {
      action: 'reject'
      planId?: string | null
      reason?: string | null
    }
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/runs` */
  getProjectsIdToftRuns: {
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/runs/{job}` */
  getProjectsIdToftRunsJob: {
    data: Schemas['RunNow']
  }
  /** `PUT /v1/projects/{id}/toft/runs/{job}` */
  putProjectsIdToftRunsJob: {
    body: {
      /** Grows with each owner. An order with a smaller one is from an owner that lost it. */
      fence: number
      /** 1 for the first. A larger one than the known, with a larger fence, tries a run again that ended in an error. */
      attempt?: number
      /** What is to be done. */
      prompt: string
      /** The conversation that it goes on in; a new one when absent. */
      sessionId?: string | null
      /** Who answers; the project's choice when absent. */
      model?: {
        /** Provider id, for example `anthropic`; `demo` is the scripted one. */
        provider: string
        /** Model id as the provider names it. */
        id: string
      } | null
      /** Whether a plan comes before the work. */
      plan: boolean
      /** Whether that plan waits for a person. */
      approval?: boolean
      /** Whether what changed is committed, when it lies in a git repository. */
      commit: boolean
      /** Author of the commit; git's own settings when absent. */
      author?: {
        /** Name. */
        name: string
        /** Address. */
        email: string
      } | null
      /** Committer; the author when absent. */
      committer?: {
        /** Name. */
        name: string
        /** Address. */
        email: string
      } | null
      /** Seconds that planning may take, by the wall clock, also while no bridge runs. Those in which a person is waited for do not count. */
      planTimeoutS: number
      /** The same of building. */
      buildTimeoutS: number
      /** What the agent has for it. */
      rules?: {
        /** Whether the agent has the tools `sandbox_cmd` and `project_actions`; when absent, where the project has a `package.json`, or where `allowed_tools` names one of them. */
        projectTools?: boolean | null
        /** Names of the tools that it has, `*` at the end for all that begin so; all when absent. */
        allowedTools?: string[] | null
        /** Whether it may have others do pieces of the work. */
        subagents?: boolean
        /** Whether `project_actions` may install, build and check types. */
        installs?: boolean
        /** Whether the project's own check runs after the work, where the project itself has it so. */
        autoCheck?: boolean
        /** How often the model is asked to mend what the check says. */
        checkFixesMax?: number
        /** Milliseconds that one run of the check may take. */
        checkTimeoutMs?: number
        /** Milliseconds that a program of those tools may take where the call says nothing. */
        cmdTimeoutMs?: number
        /** Characters of each output stream that those tools answer with. */
        outputCharsMax?: number
      }
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/runs/{job}/cancel` */
  postProjectsIdToftRunsJobCancel: {
    body: {
      fence: number
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/runs/{job}/approve` */
  postProjectsIdToftRunsJobApprove: {
    body: {
      planId?: string | null
      /** The plan as it was changed. */
      plan?: {
        /** In a few sentences. */
        summary: string
        /** Its steps, in order. */
        todos: ({
          /** Unique in its plan; made up where there is none. */
          id?: string
          /** In a line. */
          title: string
          /** More of it. */
          details?: string | null
          /** What holds when it is done. */
          acceptanceCriteria?: string[]
        })[]
      } | null
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/runs/{job}/reject` */
  postProjectsIdToftRunsJobReject: {
    body: {
      planId?: string | null
      reason?: string | null
    }
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/skills` */
  getProjectsIdToftSkills: {
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/extensions` */
  getProjectsIdToftExtensions: {
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/mcp` */
  getProjectsIdToftMcp: {
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/mcp/{mcp}/restart` */
  postProjectsIdToftMcpMcpRestart: {
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/inspect` */
  getProjectsIdToftInspect: {
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/services` */
  getProjectsIdToftServices: {
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/services/{service}/start` */
  postProjectsIdToftServicesServiceStart: {
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/services/{service}/stop` */
  postProjectsIdToftServicesServiceStop: {
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/services/{service}/restart` */
  postProjectsIdToftServicesServiceRestart: {
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/services/{service}/log` */
  getProjectsIdToftServicesServiceLog: {
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/receipts` */
  getProjectsIdToftReceipts: {
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/activity` */
  getProjectsIdToftActivity: {
    data: Schemas['Activity']
  }
  /** `GET /v1/projects/{id}/toft/terminals` */
  getProjectsIdToftTerminals: {
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/terminals` */
  postProjectsIdToftTerminals: {
    body: {
      cols: number
      rows: number
      cwd?: string | null
      /** A shell when absent. */
      command?: string | null
    }
    data: Record<string, unknown>
  }
  /** `DELETE /v1/projects/{id}/toft/terminals/{terminal}` */
  deleteProjectsIdToftTerminalsTerminal: {
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/processes` */
  getProjectsIdToftProcesses: {
    data: Record<string, unknown>
  }
  /** `DELETE /v1/projects/{id}/toft/processes/{process}` */
  deleteProjectsIdToftProcessesProcess: {
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/files` */
  getProjectsIdToftFiles: {
    data: Record<string, unknown>
  }
  /** `DELETE /v1/projects/{id}/toft/files` */
  deleteProjectsIdToftFiles: {
    data: Record<string, unknown>
  }
  /** `PUT /v1/projects/{id}/toft/files/content` */
  putProjectsIdToftFilesContent: {
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/files/mkdir` */
  postProjectsIdToftFilesMkdir: {
    body: {
      path: string
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/files/move` */
  postProjectsIdToftFilesMove: {
    body: {
      from: string
      to: string
    }
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/schedules` */
  getProjectsIdSchedules: {
    data: Schemas['Schedules']
  }
  /** `POST /v1/projects/{id}/schedules` */
  postProjectsIdSchedules: {
    body: {
      name?: string | null
      when?: {
        /** Five fields, as crontab(5) has them. */
        cron: string
        /** A name of the tz database; UTC when absent. */
        timezone?: string | null
      } | {
        /** Seconds between two. */
        everyS: number
      } | {
        /** Unix milliseconds. */
        at: number
      } | null
      do?: {
        /** A line for the shell, as `exec` takes it. */
        command: string
      } | {
        /** The text. */
        prompt: string
        /** In which conversation; a new one each time when absent. */
        sessionId?: string | null
      } | null
      catchUp?: 'latest' | 'none' | 'all' | null
      catchUpMax?: number | null
      overlap?: 'skip' | 'queue' | 'cancel' | 'allow' | null
      enabled?: boolean | null
      timeoutMs?: number | null
    }
    data: Schemas['Schedule']
  }
  /** `GET /v1/projects/{id}/schedules/{sid}` */
  getProjectsIdSchedulesSid: {
    data: Schemas['ScheduleAhead']
  }
  /** `PATCH /v1/projects/{id}/schedules/{sid}` */
  patchProjectsIdSchedulesSid: {
    body: {
      name?: string | null
      when?: {
        /** Five fields, as crontab(5) has them. */
        cron: string
        /** A name of the tz database; UTC when absent. */
        timezone?: string | null
      } | {
        /** Seconds between two. */
        everyS: number
      } | {
        /** Unix milliseconds. */
        at: number
      } | null
      do?: {
        /** A line for the shell, as `exec` takes it. */
        command: string
      } | {
        /** The text. */
        prompt: string
        /** In which conversation; a new one each time when absent. */
        sessionId?: string | null
      } | null
      catchUp?: 'latest' | 'none' | 'all' | null
      catchUpMax?: number | null
      overlap?: 'skip' | 'queue' | 'cancel' | 'allow' | null
      enabled?: boolean | null
      timeoutMs?: number | null
    }
    data: Schemas['Schedule']
  }
  /** `DELETE /v1/projects/{id}/schedules/{sid}` */
  deleteProjectsIdSchedulesSid: {
    data: Schemas['DeletedScheduleId']
  }
  /** `GET /v1/projects/{id}/schedules/{sid}/firings` */
  getProjectsIdSchedulesSidFirings: {
    data: Schemas['Firings']
  }
  /** `POST /v1/projects/{id}/schedules/{sid}/run` */
  postProjectsIdSchedulesSidRun: {
    data: Schemas['Firing']
  }
  /** `GET /v1/projects/{id}/runs` */
  getProjectsIdRuns: {
    data: Schemas['Run'][]
  }
  /** `POST /v1/projects/{id}/runs` */
  postProjectsIdRuns: {
    body: {
      /** What is to be done. */
      prompt: string
      /** So many runs of it, each in a fork of its own, to be compared. */
      n?: number | null
      /** The same, one for each of these models. */
      models?: ({
        provider?: string | null
        model?: string | null
      })[] | null
      /** Which of the project's secrets those forks have. */
      secrets?: string[] | 'all' | null
      /** JSON that is kept with it. */
      input?: unknown
      /** The answer is its events. */
      stream?: boolean | null
      provider?: string | null
      model?: string | null
      /** `native`, `oci`, `host` or `e2b`, as far as the server offers it. */
      workspaceBackend?: string | null
      /** A person decides on its plan before anything is built. */
      approval?: boolean | null
      /** Larger ones go first, among those of other projects. */
      priority?: number | null
    }
    data: Schemas['AcceptedWork']
  }
  /** `POST /v1/projects/{id}/messages` */
  postProjectsIdMessages: {
    body: {
      /** What is to be done, after what was said before. */
      content: string
      /** JSON that is kept with it. */
      input?: unknown
      /** The answer is its events. */
      stream?: boolean | null
      provider?: string | null
      model?: string | null
      /** `native`, `oci`, `host` or `e2b`, as far as the server offers it. */
      workspaceBackend?: string | null
      /** A person decides on its plan before anything is built. */
      approval?: boolean | null
      /** Larger ones go first, among those of other projects. */
      priority?: number | null
    }
    data: Schemas['AcceptedMessage']
  }
  /** `GET /v1/projects/{id}/runs/{run}` */
  getProjectsIdRunsRun: {
    data: Schemas['Run']
  }
  /** `GET /v1/projects/{id}/runs/{run}/messages` */
  getProjectsIdRunsRunMessages: {
    data: Schemas['RunMessage'][]
  }
  /** `POST /v1/projects/{id}/runs/{run}/cancel` */
  postProjectsIdRunsRunCancel: {
    data: Schemas['CancelledRun']
  }
  /** `POST /v1/projects/{id}/runs/{run}/restore` */
  postProjectsIdRunsRunRestore: {
    body: {
      force?: boolean
    }
    data: Schemas['Restored']
  }
  /** `GET /v1/projects/{id}/comparisons` */
  getProjectsIdComparisons: {
    data: Schemas['Comparison'][]
  }
  /** `GET /v1/projects/{id}/comparisons/{comparison}` */
  getProjectsIdComparisonsComparison: {
    data: Schemas['Comparison']
  }
  /** `GET /v1/projects/{id}/comparisons/{comparison}/candidates/{run}/diff` */
  getProjectsIdComparisonsComparisonCandidatesRunDiff: {
    data: Schemas['CandidateCompared']
  }
  /** `POST /v1/projects/{id}/comparisons/{comparison}/keep` */
  postProjectsIdComparisonsComparisonKeep: {
    body: {
      /** The candidate, by its run. */
      runId: string
    }
    data: Schemas['Comparison']
  }
  /** `POST /v1/projects/{id}/comparisons/{comparison}/drop` */
  postProjectsIdComparisonsComparisonDrop: {
    data: Schemas['Comparison']
  }
  /** `GET /v1/webhooks` */
  getWebhooks: {
    data: Schemas['Webhook'][]
  }
  /** `POST /v1/webhooks` */
  postWebhooks: {
    body: {
      url: string
    }
    data: Schemas['NewWebhook']
  }
  /** `GET /v1/webhooks/{webhook}` */
  getWebhooksWebhook: {
    data: Schemas['WebhookDeliveries']
  }
  /** `DELETE /v1/webhooks/{webhook}` */
  deleteWebhooksWebhook: {
    data: Schemas['Done']
  }
  /** `GET /v1/projects/{id}/webhooks` */
  getProjectsIdWebhooks: {
    data: Schemas['Webhook'][]
  }
  /** `POST /v1/projects/{id}/webhooks` */
  postProjectsIdWebhooks: {
    body: {
      url: string
    }
    data: Schemas['NewWebhook']
  }
  /** `GET /v1/projects/{id}/webhooks/{webhook}` */
  getProjectsIdWebhooksWebhook: {
    data: Schemas['WebhookDeliveries']
  }
  /** `DELETE /v1/projects/{id}/webhooks/{webhook}` */
  deleteProjectsIdWebhooksWebhook: {
    data: Schemas['Done']
  }
  /** `GET /v1/models` */
  getModels: {
    data: Schemas['ModelList']
  }
  /** `GET /v1/providers` */
  getProviders: {
    data: Schemas['Provider'][]
  }
  /** `GET /v1/keys-file` */
  getKeysFile: {
    data: Schemas['KeysFile']
  }
  /** `GET /v1/models-file` */
  getModelsFile: {
    data: Schemas['ModelsFile']
  }
  /** `PUT /v1/providers/{id}/key` */
  putProvidersIdKey: {
    body: {
      key: string
    }
    data: Schemas['Provider']
  }
  /** `DELETE /v1/providers/{id}/key` */
  deleteProvidersIdKey: {
    data: Schemas['Provider']
  }
  /** `POST /v1/providers/{id}/test` */
  postProvidersIdTest: {
    data: Schemas['ProviderTest']
  }
  /** `GET /v1/fallbacks` */
  getFallbacks: {
    data: Schemas['Fallbacks']
  }
  /** `PUT /v1/fallbacks` */
  putFallbacks: {
    body: {
      chains?: Record<string, string[] | null>
      firstByteS?: number | null
    }
    data: Schemas['Fallbacks']
  }
  /** `GET /v1/projects/{id}/fallbacks` */
  getProjectsIdFallbacks: {
    data: Schemas['ProjectFallbacks']
  }
  /** `PUT /v1/projects/{id}/fallbacks` */
  putProjectsIdFallbacks: {
    body: {
      chains?: Record<string, string[] | null>
    }
    data: Schemas['ProjectFallbacks']
  }
  /** `GET /v1/projects/{id}/model-limits` */
  getProjectsIdModelLimits: {
    data: Schemas['ModelLimits']
  }
  /** `PUT /v1/projects/{id}/model-limits` */
  putProjectsIdModelLimits: {
    body: {
      callsAtOnce?: number | null
      callsPerMinute?: number | null
    }
    data: Schemas['ModelLimits']
  }
  /** `GET /v1/usage` */
  getUsage: {
    data: Schemas['Usage']
  }
  /** `GET /v1/projects/{id}/usage` */
  getProjectsIdUsage: {
    data: Schemas['Usage']
  }
  /** `GET /v1/budget` */
  getBudget: {
    data: Schemas['Budget']
  }
  /** `PUT /v1/budget` */
  putBudget: {
    body: {
      runUsd?: number | null
      monthUsd?: number | null
      totalUsd?: number | null
    }
    data: Schemas['Budget']
  }
  /** `GET /v1/projects/{id}/budget` */
  getProjectsIdBudget: {
    data: Schemas['Budget']
  }
  /** `PUT /v1/projects/{id}/budget` */
  putProjectsIdBudget: {
    body: {
      runUsd?: number | null
      monthUsd?: number | null
      totalUsd?: number | null
    }
    data: Schemas['Budget']
  }
  /** `GET /v1/model-pricing` */
  getModelPricing: {
    data: Schemas['ModelPrice'][]
  }
  /** `PUT /v1/model-pricing/{provider}/{model}` */
  putModelPricingProviderModel: {
    body: {
      inputCostPer1k: number
      outputCostPer1k: number
      cachedInputCostPer1k?: number | null
      reasoningOutputCostPer1k?: number | null
      currency?: string | null
      pricingVersion?: string | null
      active?: boolean | null
    }
    data: Schemas['ModelPrice']
  }
  /** `DELETE /v1/model-pricing/{provider}/{model}` */
  deleteModelPricingProviderModel: {
    data: Schemas['Done']
  }
  /** `GET /llm/models` */
  getLlmModels: {
    data: Schemas['ModelList']
  }
  /** `POST /llm/{provider}/{path}` */
  postLlmProviderPath: {
    body: Record<string, unknown>
  }
}
