// A transcript in the making: copies its rows once per batch, on the first change.
import type { AgentEnd, BridgeEvent } from '../events'
import type { Claim } from '../receipts'
import type { Message, PlanReady, PlanState, Question } from '../bridge-types'
import { settled, withPlan } from './plan'
import { assistantRows, imagesOf, newTool, noteOf, textOf, withResult } from './rows'
import type { MarkerRow, Row, TextRow, ToolRow, Transcript } from './types'

/** Live output kept per running tool; the result replaces it. */
const OUTPUT_CHARS_MAX = 64 * 1024

type Of<K extends BridgeEvent['kind']> = Extract<BridgeEvent, { kind: K }>['data']

/** The bridge tells of a restore a while after it was asked for. */
const SAME_RESTORE_MS = 120_000

/** Whether both tell the same moment: one from the conversation, one from the events. */
function isSame(row: Row, { id, at, what }: MarkerRow): boolean {
  if (row.id === id) return true
  return (
    row.kind === 'marker' &&
    row.what.kind === 'restored' &&
    what.kind === 'restored' &&
    row.what.checkpointId === what.checkpointId &&
    Math.abs(row.at - at) < SAME_RESTORE_MS
  )
}

export class Draft {
  seq: number
  stateSeq: number
  told: Transcript['told']
  readonly sessionId: string
  readonly #before: Transcript
  #rows: Row[] | null = null
  #state: Partial<Transcript> = {}
  #dirty = false

  constructor(before: Transcript) {
    this.#before = before
    this.sessionId = before.sessionId
    this.seq = before.seq
    this.stateSeq = before.stateSeq
    this.told = before.told
  }

  done(): Transcript {
    const { seq, stateSeq, told } = this.#before
    const moved = this.seq !== seq || this.stateSeq !== stateSeq || this.told !== told
    if (!this.#rows && !this.#dirty && !moved) return this.#before
    return {
      ...this.#before,
      ...this.#state,
      rows: this.#rows ?? this.#before.rows,
      seq: this.seq,
      stateSeq: this.stateSeq,
      told: this.told,
    }
  }

  set(change: Partial<Transcript>): void {
    Object.assign(this.#state, change)
    this.#dirty = true
  }

  is<K extends keyof Transcript>(key: K): Transcript[K] {
    return key in this.#state ? (this.#state[key] as Transcript[K]) : this.#before[key]
  }

  get rows(): readonly Row[] {
    return this.#read()
  }

  push(row: Row): void {
    this.#mutable().push(row)
  }

  /** Puts a marker where it belongs by time: before the first message of the person that is newer. A
   * conversation that began later has no place for it, unless it was `moved` itself. */
  mark(row: MarkerRow, moved: boolean): void {
    if (this.#read().some((each) => isSame(each, row))) return
    const newer = this.#read().findIndex((each) => each.kind === 'user' && each.at > row.at)
    const at = newer < 0 ? this.#read().length : newer
    if (at > 0 || moved) this.#mutable().splice(at, 0, row)
  }

  /** An assistant message begins: what a failed try of it left is gone. */
  begin(messageId: string): void {
    this.#remove((row) => row.id === `restart:${messageId}`)
    if (this.is('model')?.demo && this.#read().at(-1)?.kind === 'user') {
      this.push({ kind: 'demo', id: `demo:${messageId}`, text: this.is('model')?.id ?? 'demo' })
    }
  }

  delta(data: Of<'message_update'>): void {
    const id = `${data.messageId}:${data.contentIndex}`
    switch (data.type) {
      case 'text_start':
      case 'thinking_start':
        return
      case 'text_delta':
        this.#text('text', id, data.messageId, data.delta)
        return
      case 'thinking_delta':
        this.#text('thinking', id, data.messageId, data.delta)
        return
      case 'text_end':
      case 'thinking_end':
        this.#update(id, (row) =>
          row.kind === 'text' || row.kind === 'thinking' ? { ...row, streaming: false } : row,
        )
        return
      case 'toolcall_start':
        if (this.#find(id) < 0) this.push(newTool(data.messageId, id, data.id, data.toolName))
        return
      case 'toolcall_delta':
        this.#update(id, (row) =>
          row.kind === 'tool' ? { ...row, inputText: row.inputText + data.delta } : row,
        )
        return
      case 'toolcall_end': {
        const { toolCall } = data
        if (this.#find(id) < 0) this.push(newTool(data.messageId, id, toolCall.id, toolCall.name))
        this.#update(id, (row) =>
          row.kind === 'tool' ? { ...row, input: toolCall.arguments, inputText: '' } : row,
        )
        return
      }
      default:
    }
  }

  /** A message is whole: it replaces what was streamed of it. */
  whole(messageId: string, entryId: string, message: Message): void {
    if (message.role === 'user') {
      this.#upsert({
        kind: 'user',
        id: entryId,
        text: textOf(message.content),
        images: imagesOf(message.content),
        at: message.timestamp,
      })
    } else if (message.role === 'assistant') {
      this.#remove((row) => row.id === `restart:${messageId}`)
      const at = this.#read().findIndex((row) => 'messageId' in row && row.messageId === messageId)
      const old = this.#read().filter((row) => 'messageId' in row && row.messageId === messageId)
      const fresh = assistantRows(messageId, message, old)
      if (at < 0) this.#mutable().push(...fresh)
      else this.#mutable().splice(at, old.length, ...fresh)
    } else if (message.role === 'toolResult') {
      this.tool(message.toolCallId, message.toolName, (row) =>
        row.result ? row : withResult(row, message, message.isError, null),
      )
    } else if (message.role === 'custom') {
      if (message.display) {
        this.#upsert({ kind: 'note', id: entryId, text: noteOf(message) })
      }
    } else {
      this.#upsert({ kind: 'summary', id: entryId, text: message.summary })
    }
  }

  /** What was shown of the message is void: it is asked again. */
  restart(messageId: string, reason: string): void {
    this.#remove((row) => 'messageId' in row && row.messageId === messageId)
    const text = `The answer broke off (${reason}) and is asked for again.`
    this.#upsert({ kind: 'note', id: `restart:${messageId}`, text })
  }

  output(callId: string, name: string, delta: string): void {
    this.tool(callId, name, (row) => {
      const all = row.output + delta
      return {
        ...row,
        state: row.result ? row.state : 'running',
        output: all.length > OUTPUT_CHARS_MAX ? all.slice(-OUTPUT_CHARS_MAX) : all,
      }
    })
  }

  result(data: Of<'tool_end'>): void {
    this.tool(data.toolCallId, data.toolName, (row) =>
      withResult(row, data.result, data.isError, data.durationMs),
    )
  }

  /** Changes the row of a call; makes it when its beginning was not seen. */
  tool(callId: string, name: string, change: (row: ToolRow) => ToolRow): void {
    let at = this.#read().findLastIndex((row) => row.kind === 'tool' && row.callId === callId)
    if (at < 0) {
      this.push(newTool(`call:${callId}`, `call:${callId}`, callId, name))
      at = this.#read().length - 1
    }
    const row = this.#read()[at] as ToolRow
    const next = change(row)
    if (next !== row) this.#mutable()[at] = next
  }

  /** A question stands at its call; one is open at a time. */
  ask(question: Question): void {
    this.answered()
    this.tool(question.toolCallId, 'ask', (row) => ({ ...row, question }))
  }

  /** What a person was asked about a call is answered. What a tool asks stays: it is its row. */
  answered(): void {
    const at = this.#read().findLastIndex((row) => row.kind === 'tool' && row.question?.kind)
    const row = this.#read()[at]
    if (row?.kind === 'tool') this.#mutable()[at] = { ...row, question: null }
  }

  /** Where a task of before the snapshot does its work. */
  works(callId: string, child: string | undefined): void {
    const row = this.#read().findLast((each) => each.kind === 'tool' && each.callId === callId)
    if (child && row?.kind === 'tool' && !row.child) {
      this.#update(row.id, () => ({ ...row, child }))
    }
  }

  /** A plan takes the place of the one before it. */
  plan(plan: PlanReady): void {
    this.#rows = withPlan(this.#read(), plan, 'proposed')
  }

  /** What became of a plan; without an id: of one that waits. */
  settle(planId: string | null, state: PlanState): void {
    this.#rows = settled(this.#read(), planId, state) ?? this.#rows
  }

  /** Ties what answers say of checks to their words. */
  claims(claims: readonly Claim[]): void {
    for (const id of new Set(claims.map((each) => `${each.messageId}:${each.contentIndex}`))) {
      const own = claims.filter((each) => `${each.messageId}:${each.contentIndex}` === id)
      if (this.#find(id) < 0) continue
      this.#update(id, (row) => (row.kind === 'text' ? { ...row, claims: own } : row))
    }
  }

  /** The prompt is over: a tally, and nothing runs any more. */
  end(seq: number, data: AgentEnd): void {
    this.#read().forEach((row, at) => {
      if (row.kind === 'tool' && row.result === null && row.state !== 'cut') {
        this.#mutable()[at] = { ...row, state: 'cut' }
      } else if ((row.kind === 'text' || row.kind === 'thinking') && row.streaming) {
        this.#mutable()[at] = { ...row, streaming: false }
      }
    })
    // A tally that the snapshot made from messages gives way to the measured one.
    if (this.#read().at(-1)?.kind === 'tally') this.#mutable().pop()
    this.push({
      kind: 'tally',
      id: `end:${seq}`,
      tally: { ...data, about: false },
      after: this.told.entryId,
    })
  }

  /** A tally of before the snapshot: what was measured takes the place of what was summed up. */
  measured(data: AgentEnd): void {
    const { entryId } = this.told
    const row = this.#read().findLast((each) => each.kind === 'tally' && each.after === entryId)
    if (entryId === null || row?.kind !== 'tally' || !row.tally.about) return
    this.#update(row.id, () => ({ ...row, tally: { ...data, about: false } }))
  }

  /** How long a tool of before the snapshot ran. */
  took(callId: string, durationMs: number): void {
    const row = this.#read().findLast((each) => each.kind === 'tool' && each.callId === callId)
    if (row?.kind === 'tool' && row.result !== null && row.durationMs === null) {
      this.#update(row.id, () => ({ ...row, durationMs }))
    }
  }

  #text(kind: TextRow['kind'], id: string, messageId: string, delta: string): void {
    if (this.#find(id) < 0) this.push({ kind, id, messageId, text: delta, streaming: true })
    else {
      this.#update(id, (row) =>
        row.kind === kind ? { ...row, text: row.text + delta, streaming: true } : row,
      )
    }
  }

  #upsert(row: Row): void {
    const at = this.#find(row.id)
    if (at < 0) this.push(row)
    else this.#mutable()[at] = row
  }

  #update(id: string, change: (row: Row) => Row): void {
    const at = this.#find(id)
    if (at < 0) return
    const row = this.#read()[at] as Row
    const next = change(row)
    if (next !== row) this.#mutable()[at] = next
  }

  #remove(which: (row: Row) => boolean): void {
    if (this.#read().some(which)) this.#rows = this.#read().filter((row) => !which(row))
  }

  /** From the end: what changes is nearly always the newest. */
  #find(id: string): number {
    return this.#read().findLastIndex((row) => row.id === id)
  }

  #read(): readonly Row[] {
    return this.#rows ?? this.#before.rows
  }

  #mutable(): Row[] {
    this.#rows ??= [...this.#before.rows]
    return this.#rows
  }
}
