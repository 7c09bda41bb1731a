// Everything live of one open project: its event stream, the conversations that panels look at, and
// the last events for who joins later. One per project page; panels share it.
import { ApiError, wordsOf } from '../http'
import { bridge, type Bridge } from '../bridge'
import type { BridgeEvent } from '../events'
import { reduce } from '../transcript/reduce'
import { fromSnapshot } from '../transcript/snapshot'
import type { Transcript } from '../transcript/types'
import type { Connection } from './line'
import { EventStream } from './stream'

/** Events kept for conversations that are opened later and for the log panel. */
const RECENT_MAX = 20_000
/** History that the log panel gets at the start. */
const HISTORY_EVENTS = 500
/** A conversation that could not be read is asked for again after this. */
const AGAIN_AFTER_MS = 2000

/** After these the context is another, or fuller or emptier; they do not say how full. */
const CONTEXT_CHANGES: ReadonlySet<BridgeEvent['kind']> = new Set([
  'model_change',
  'compaction_end',
])

type Listener = () => void

/** One conversation: loading, failed, or here. */
export type SessionView =
  | { state: 'loading' }
  | { state: 'failed'; error: string }
  | { state: 'ready'; transcript: Transcript }

export class LiveSession {
  view: SessionView = { state: 'loading' }
  readonly #listeners = new Set<Listener>()
  readonly id: string
  readonly #project: LiveProject

  constructor(id: string, project: LiveProject) {
    this.id = id
    this.#project = project
  }

  readonly subscribe = (listener: Listener): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
  readonly get = (): SessionView => this.view

  /** Reads the conversation: at the start, after a failure; `anew` when it went back to an earlier
   * place, since what it was before stays in the events. */
  async load(anew = false): Promise<void> {
    if (this.#project.closed || (this.view.state === 'ready' && !anew)) return
    try {
      const { bridge } = this.#project
      const [messages, state] = await Promise.all([
        bridge.messages(this.id),
        bridge.state(this.id).catch((error: unknown) => {
          // A machine that never ran has messages (none) but no state.
          if (error instanceof ApiError && !error.offline) return null
          throw error
        }),
      ])
      // The copy of a machine that does not run knows the current conversation's state only.
      const own = state?.sessionId === messages.sessionId ? state : null
      const transcript = fromSnapshot(messages, own)
      this.#project.covers(Math.min(transcript.seq, transcript.stateSeq))
      this.#show({ state: 'ready', transcript: reduce(transcript, this.#project.recent) })
    } catch (error) {
      // What was read before stays in sight.
      if (this.view.state !== 'ready') this.#show({ state: 'failed', error: wordsOf(error) })
      // What is only away for a moment (a machine that stops or wakes, a server that restarts) is asked
      // again without a click.
      const passing = error instanceof ApiError && (error.offline || error.status >= 500)
      if (passing && !this.#project.closed) {
        setTimeout(() => void this.load(anew), AGAIN_AFTER_MS)
      }
    }
  }

  take(events: readonly BridgeEvent[]): void {
    if (this.view.state !== 'ready') return
    const before = this.view.transcript
    const transcript = reduce(before, events)
    if (transcript !== before) this.#show({ state: 'ready', transcript })
    const isOther = ({ kind, session, seq }: BridgeEvent) =>
      session === this.id && seq > before.stateSeq && CONTEXT_CHANGES.has(kind)
    if (events.some(isOther)) void this.#measure()
  }

  /** Reads anew how full the context is. */
  async #measure(): Promise<void> {
    try {
      const { sessionId, seq, contextTokens, contextWindow } = await this.#project.bridge.state(
        this.id,
      )
      // The copy of a machine that does not run knows the current conversation's state only.
      if (this.view.state !== 'ready' || sessionId !== this.id) return
      const { transcript } = this.view
      // An answer that came meanwhile has told it.
      const isOld = seq < transcript.told.seq
      this.#show({
        state: 'ready',
        transcript: {
          ...transcript,
          contextWindow,
          contextTokens: isOld ? transcript.contextTokens : contextTokens,
        },
      })
    } catch {
      // It stays as it was until the conversation is read again.
    }
  }

  #show(view: SessionView): void {
    this.view = view
    for (const listener of this.#listeners) listener()
  }
}

export class LiveProject {
  readonly bridge: Bridge
  /** The last events, oldest first, without a gap up to `stream.seq`. */
  recent: BridgeEvent[] = []
  connection: Connection = 'connecting'
  closed = false
  /** Events up to here were there before the page: they are history, not news. */
  newsAfter: number
  #floor: number
  /** The last event that was handed on. */
  #told = 0
  readonly #stream: EventStream
  readonly #sessions = new Map<string, LiveSession>()
  readonly #taps = new Set<(events: BridgeEvent[]) => void>()
  readonly #listeners = new Set<Listener>()

  /** `seq`: the number of the last event at the moment of opening; null when it is not known. */
  constructor(id: string, seq: number | null) {
    this.bridge = bridge(id)
    this.newsAfter = seq ?? Number.MAX_SAFE_INTEGER
    this.#floor = seq === null ? Number.MAX_SAFE_INTEGER : Math.max(0, seq - HISTORY_EVENTS)
    this.#stream = new EventStream(seq === null ? null : this.#floor, {
      url: this.bridge.eventsUrl,
      onBegin: (begin) => {
        this.newsAfter = begin
        this.#floor = Math.min(this.#floor, begin)
      },
      onEvents: (events) => this.#take(events),
      onConnection: (connection) => {
        this.connection = connection
        for (const listener of this.#listeners) listener()
      },
    })
  }

  readonly subscribe = (listener: Listener): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Gets every batch of events from now on. */
  tap(listener: (events: BridgeEvent[]) => void): () => void {
    this.#taps.add(listener)
    return () => this.#taps.delete(listener)
  }

  session(id: string): LiveSession {
    let session = this.#sessions.get(id)
    if (!session) {
      session = new LiveSession(id, this)
      this.#sessions.set(id, session)
      void session.load()
    }
    return session
  }

  /** Makes sure that all events after `seq` are in `recent` or still to come. */
  covers(seq: number): void {
    if (seq >= this.#floor) return
    this.#floor = seq
    this.newsAfter = Math.min(this.newsAfter, Math.max(seq, this.#told))
    this.recent = []
    this.#stream.restart(seq)
  }

  close(): void {
    this.closed = true
    this.#stream.close()
  }

  #take(events: BridgeEvent[]): void {
    this.recent.push(...events)
    // Cut in large steps: cutting at each batch would copy all of it each frame.
    if (this.recent.length > RECENT_MAX * 1.25) {
      this.recent = this.recent.slice(-RECENT_MAX)
      this.#floor = (this.recent[0]?.seq ?? 1) - 1
    }
    for (const session of this.#sessions.values()) session.take(events)
    // What comes a second time after a new start is no news.
    const fresh = events.filter((event) => event.seq > this.#told)
    const last = fresh.at(-1)
    if (!last) return
    this.#told = last.seq
    const isNews = ({ seq }: BridgeEvent) => seq > this.newsAfter
    if (fresh.some((event) => event.kind === 'restored' && isNews(event))) {
      for (const session of this.#sessions.values()) void session.load(true)
    }
    // A conversation that stands elsewhere shows another branch.
    for (const event of fresh) {
      if (event.kind === 'navigated' && event.session !== null && isNews(event)) {
        void this.#sessions.get(event.session)?.load(true)
      }
    }
    for (const tap of this.#taps) tap(fresh)
  }
}
