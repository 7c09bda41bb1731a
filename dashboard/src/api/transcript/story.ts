// A bridge in small, for tests of the transcript: writes a log of events and knows what it would answer
// to `GET messages` and `GET state` at any moment of it.
import type { AgentState, Block, Message, MessageList, StoredMessage } from '../bridge-types'
import type { BridgeEvent } from '../events'

const USAGE = {
  input: 10,
  output: 5,
  cacheRead: 0,
  cacheWrite: 0,
  totalTokens: 15,
  cost: { total: 0.25 },
}

type Kind = BridgeEvent['kind']
type DataOf<K extends Kind> = Extract<BridgeEvent, { kind: K }>['data']

export class Story {
  readonly events: BridgeEvent[] = []
  /** After event n: what is stored, and where following must begin. */
  readonly #stored: { messages: StoredMessage[]; from: number; busy: boolean }[] = []
  #messages: StoredMessage[] = []
  #open: number | null = null
  #busy = false
  #made = 0
  readonly session = 's1'
  demo = false

  constructor() {
    this.#remember()
  }

  #remember() {
    const from = this.#open ?? this.events.length
    this.#stored.push({ messages: this.#messages, from, busy: this.#busy })
  }

  emit<K extends Kind>(kind: K, data: DataOf<K>, session: string | null = this.session): void {
    const seq = this.events.length + 1
    this.events.push({
      kind,
      seq,
      at: seq * 10,
      timed: true,
      session,
      data,
    } as unknown as BridgeEvent)
    this.#remember()
  }

  #whole(messageId: string, message: Message): void {
    const parentId = this.#messages.at(-1)?.entryId ?? null
    const entry = { entryId: messageId, parentId, message }
    this.#messages = [...this.#messages, entry]
    this.#open = null
    this.emit('message_end', { messageId, ...entry })
  }

  user(text: string): void {
    if (!this.#busy) {
      this.#busy = true
      this.emit('agent_start', {})
    }
    this.#whole(`m${++this.#made}`, { role: 'user', content: text, timestamp: this.#now() })
  }

  #now(): number {
    return this.events.length * 10
  }

  /** Streams an assistant message; calls are `[name, arguments]`. */
  assistant(
    text: string,
    calls: [string, Record<string, unknown>][] = [],
    stop?: 'error' | 'aborted',
  ): string[] {
    const messageId = `m${++this.#made}`
    this.#open = this.events.length
    this.emit('message_start', { messageId, role: 'assistant' })
    const content: Block[] = []
    if (text) {
      this.emit('message_update', { messageId, type: 'text_start', contentIndex: 0 })
      for (const delta of text.match(/\S+\s*/g) ?? []) {
        this.emit('message_update', { messageId, type: 'text_delta', contentIndex: 0, delta })
      }
      this.emit('message_update', { messageId, type: 'text_end', contentIndex: 0 })
      content.push({ type: 'text', text })
    }
    const ids = calls.map(([name, input]) => {
      const contentIndex = content.length
      const id = `c${++this.#made}`
      const at = { messageId, contentIndex }
      this.emit('message_update', { ...at, type: 'toolcall_start', id, toolName: name })
      const delta = JSON.stringify(input)
      this.emit('message_update', { ...at, type: 'toolcall_delta', delta })
      const toolCall = { id, name, arguments: input }
      this.emit('message_update', { ...at, type: 'toolcall_end', toolCall })
      content.push({ type: 'toolCall', ...toolCall })
      return id
    })
    this.#whole(messageId, {
      role: 'assistant',
      content,
      provider: this.demo ? 'demo' : 'anthropic',
      model: 'm',
      usage: USAGE,
      stopReason: stop ?? (calls.length > 0 ? 'toolUse' : 'stop'),
      ...(stop === 'error' ? { errorMessage: '401 invalid x-api-key' } : {}),
      timestamp: this.#now(),
    })
    return ids
  }

  tool(toolCallId: string, toolName: string, output: string, isError = false): void {
    this.emit('tool_start', { toolCallId, toolName, input: {} })
    this.emit('tool_update', { toolCallId, toolName, delta: output.slice(0, 3) })
    const content: Block[] = [{ type: 'text', text: output }]
    const result = { content, details: { exitCode: isError ? 1 : 0 } }
    this.emit('tool_end', { toolCallId, toolName, result, isError, durationMs: 12 })
    const base = { role: 'toolResult', toolCallId, toolName, isError } as const
    this.#whole(`m${++this.#made}`, { ...base, ...result, timestamp: this.#now() })
  }

  end(reason = 'done'): void {
    this.#busy = false
    const counts = { usage: USAGE, turns: 2, tools: 1, changed: ['a.txt'], durationMs: 50 }
    this.emit('agent_end', { reason, ...counts, demo: this.demo })
  }

  messagesAt(seq: number): MessageList {
    const at = this.#stored[seq]
    if (!at) throw new Error(`the story has no event ${seq}`)
    return { sessionId: this.session, messages: at.messages, seq: at.from }
  }

  stateAt(seq: number): AgentState {
    return {
      sessionId: this.session,
      sessionName: null,
      status: this.#stored[seq]?.busy ? 'working' : 'idle',
      model: { provider: 'anthropic', id: 'm', demo: this.demo },
      thinkingLevel: 'off',
      isStreaming: false,
      isCompacting: false,
      messageCount: 0,
      steering: [],
      followUp: [],
      appPort: null,
      appListening: false,
      cwd: '/home/project',
      question: null,
      mode: 'build',
      plan: null,
      planState: null,
      todos: [],
      contextTokens: null,
      contextWindow: 200_000,
      usage: null,
      seq,
    }
  }
}
