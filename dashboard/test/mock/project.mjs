// A project of the test server: its log, conversations, files. Speaks docs/http-api.md; knows nothing
// of the real server's insides.
import { randomUUID } from 'node:crypto'
import { agentParts } from './agent-parts.mjs'
import { MachineSide } from './machine.mjs'
import { Runs } from './runs.mjs'

export const USAGE = {
  input: 1840,
  output: 420,
  cacheRead: 5200,
  cacheWrite: 0,
  totalTokens: 7460,
  cost: { input: 0.002, output: 0.006, cacheRead: 0.001, cacheWrite: 0, total: 0.0094 },
}
export const NO_USAGE = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, totalTokens: 0 }

export class Project {
  constructor({ id, name, state = 'running', ago = 0, model, image = 'host' }) {
    this.id = id
    this.image = image
    this.alias = null
    this.name = name
    this.state = state
    this.stateReason = null
    this.createdAt = new Date(Date.now() - ago - 86_400_000).toISOString()
    this.updatedAt = new Date(Date.now() - ago).toISOString()
    this.model = model
    this.events = []
    this.subscribers = new Set()
    this.sessions = new Map()
    this.current = null
    this.inspect = { integrations: [], services: [], assets: [] }
    this.files = new Map()
    this.terminals = new Map()
    /** By name; a null value: only the name is known. */
    this.secrets = new Map()
    this.processes = []
    /** Messages by the key that named them, and every key that came. */
    this.said = new Map()
    this.keys = []
    /** Its bridge says nothing of a message: it has it (`after`), or does not (`before`). */
    this.silent = null
    /** The agent stands still at a piece of its work that this fits: no moment is too short to be seen. */
    this.pausesAt = null
    this.appPort = null
    this.parts = agentParts()
    this.side = new MachineSide(this)
    this.runs = new Runs(this)
    this.newSession()
  }

  get seq() {
    return this.events.length
  }

  newSession(name = null, task = null) {
    const id = randomUUID()
    const now = Date.now()
    this.sessions.set(id, {
      id,
      name,
      messages: [],
      status: 'idle',
      steering: [],
      followUp: [],
      question: null,
      createdAt: now,
      updatedAt: now,
      model: this.model,
      thinkingLevel: 'medium',
      contextTokens: null,
      run: null,
      open: null,
      mode: 'build',
      plan: null,
      planState: null,
      todos: [],
      labels: new Map(),
      /** What was left when it went back: entries that are on no branch that it stands on. */
      left: [],
      task,
    })
    if (!task) this.current = id
    this.emit('session_created', id, { name })
    return id
  }

  session(id) {
    return this.sessions.get(id ?? this.current)
  }

  emit(kind, session, data) {
    const pi = {
      tool_start: 'tool_execution_start',
      tool_update: 'tool_execution_update',
      tool_end: 'tool_execution_end',
    }
    const wire = {
      ...(data.type ? {} : { type: pi[kind] ?? kind }),
      ...data,
      ts: Date.now(),
      ...(session ? { sessionId: session } : {}),
    }
    const event = { seq: this.seq + 1, kind, data: wire }
    this.events.push(event)
    for (const send of this.subscribers) send(event)
    return event.seq
  }

  /** Stores a whole message and tells of it. */
  add(session, message, messageId = randomUUID().slice(0, 8)) {
    const parentId = session.messages.at(-1)?.entryId ?? null
    // Taken before it; bound to it once it has an id.
    if (message.role === 'user' && this.side.automatic) {
      const at = { sessionId: session.id, leafEntryId: messageId }
      this.side.take('prompt', { message: at })
    }
    const entry = { entryId: messageId, parentId, message: { timestamp: Date.now(), ...message } }
    session.messages.push(entry)
    session.updatedAt = Date.now()
    session.open = null
    if (message.role === 'user' && session.planState === 'proposed') session.planState = 'dropped'
    this.emit('message_end', session.id, { messageId, ...entry })
    return entry
  }

  queueChanged(session) {
    this.emit('queue_update', session.id, {
      steering: session.steering,
      followUp: session.followUp,
    })
  }

  setInspect(change) {
    this.inspect = { ...this.inspect, ...change }
    this.emit('inspect', null, this.inspect)
  }

  stateOf(session) {
    return {
      sessionId: session.id,
      sessionName: session.name,
      sessionFile: `/home/starter/sessions/${session.id}.jsonl`,
      status: session.status,
      model: session.model,
      thinkingLevel: session.thinkingLevel,
      isStreaming: session.status === 'working',
      isCompacting: false,
      steeringMode: 'one-at-a-time',
      followUpMode: 'one-at-a-time',
      autoCompactionEnabled: true,
      messageCount: session.messages.length,
      pendingMessageCount: session.steering.length + session.followUp.length,
      steering: session.steering,
      followUp: session.followUp,
      appPort: this.appPort,
      appListening: this.appPort !== null,
      cwd: '/home/project',
      question: session.question,
      mode: session.mode,
      plan: session.plan,
      planState: session.planState,
      todos: session.todos,
      ...this.parts.settings,
      contextTokens: session.contextTokens,
      contextWindow: this.contextWindow ?? 200_000,
      usage: null,
      seq: this.seq,
    }
  }

  /** `seq` lies before the message that is being streamed: following from there shows all of it. */
  messagesOf(session) {
    return {
      sessionId: session.id,
      messages: session.messages,
      restores: session.restores ?? [],
      seq: session.open ?? this.seq,
    }
  }

  /** The newest plan of a conversation, to be decided on. */
  propose(session, plan, of, source = 'json') {
    const planId = randomUUID().slice(0, 8)
    session.plan = { planId, of, source, ...plan }
    session.planState = 'proposed'
    this.emit('plan_ready', session.id, session.plan)
  }

  settle(session, state) {
    session.planState = state
    this.emit('plan_settled', session.id, { planId: session.plan.planId, state })
    this.runs.settled(session, state)
  }

  setMode(session, mode) {
    if (session.mode === mode) return
    session.mode = mode
    this.emit('mode_change', session.id, { mode })
  }

  sessionList(tasks = false) {
    return {
      current: this.current,
      sessions: [...this.sessions.values()]
        .filter((s) => tasks || !s.task)
        .toSorted((a, b) => b.updatedAt - a.updatedAt)
        .map((s) => ({
          id: s.id,
          name: s.name,
          messageCount: s.messages.length,
          createdAt: s.createdAt,
          updatedAt: s.updatedAt,
          status: s.status,
          planProposed: s.planState === 'proposed',
          file: '',
          ...(s.lost ? { lost: true } : {}),
          ...(s.task ? { parentSessionId: s.task.parent, parentCallId: s.task.callId } : {}),
          firstMessage: textOf(s.messages.find((m) => m.message.role === 'user')?.message.content),
        })),
    }
  }

  wire() {
    const statuses = new Set(
      [...this.sessions.values()].map((s) =>
        s.planState === 'proposed' && s.status === 'idle' ? 'waiting' : s.status,
      ),
    )
    const agentStatus = ['waiting', 'working', 'error'].find((s) => statuses.has(s)) ?? 'idle'
    const { id, alias, name, state, stateReason, createdAt, updatedAt } = this
    return {
      id,
      alias,
      name,
      url: `/projects/${id}`,
      state,
      stateReason,
      latestRunId: null,
      createdAt,
      updatedAt,
      agentStatus,
    }
  }

  machine() {
    return {
      state: this.state,
      stateReason: this.stateReason,
      backend: 'native',
      image: this.image,
      storage: 'btrfs loop image',
      can: this.side.can,
      limits: this.side.limits,
      idle: this.side.idle,
      frozenAt: this.side.frozenAt,
      enforced: ABILITIES,
      startedAt: new Date(Date.now() - 240_000).toISOString(),
      use: {
        memoryBytes: this.state === 'running' || this.state === 'frozen' ? 488_400_000 : null,
        pids: this.state === 'running' || this.state === 'frozen' ? 14 : null,
      },
      egress: this.side.network.setting(),
      appPort: this.appPort,
      wakes: this.side.wakes,
    }
  }
}

export function textOf(content) {
  if (!content) return null
  return typeof content === 'string'
    ? content
    : content
        .filter((b) => b.type === 'text')
        .map((b) => b.text)
        .join('\n')
}

export const ABILITIES = [
  {
    name: 'Namespaces',
    enforced: true,
    how: 'user, mount, pid, net, uts and ipc namespaces; an id range of its own per project',
  },
  { name: 'memory limit', enforced: true, how: 'cgroup v2 memory.max on the work group' },
  { name: 'process limit', enforced: true, how: 'cgroup v2 pids.max' },
  {
    name: 'log limit',
    enforced: true,
    how: 'the server looks at the log folders of machines that run, and ends one that is past its limit',
  },
  {
    name: 'cpu limit',
    enforced: false,
    how: 'the controller cpu is not delegated to this group',
    remedy: 'Run Toft as root, or below a group that is delegated.',
  },
  { name: 'System call filter', enforced: true, how: 'seccomp, 41 calls refused' },
  {
    name: 'disk limit',
    enforced: false,
    how: 'the storage is a loop image without qgroups',
    remedy: 'Put the data folder on btrfs to get quotas per project.',
  },
]
