// The event stream of one project: one EventSource, reconnected by us with the last number that we
// saw, so that nothing is lost. What comes is handed on in batches, one per animation frame.
import { eventOf, KINDS, type BridgeEvent } from '../events'

export type Connection = 'connecting' | 'live' | 'broken'

/** First wait before a new try, doubled up to the last, with jitter. */
const RETRY_FIRST_MS = 250
const RETRY_LAST_MS = 8000
/** Frames do not come in hidden tabs; events are handed on all the same. */
const HIDDEN_FLUSH_MS = 200

export interface StreamOptions {
  url: (after: number | null) => string
  /** Called once when the stream began without a number: the last event at that moment. */
  onBegin: (seq: number) => void
  onEvents: (events: BridgeEvent[]) => void
  onConnection: (connection: Connection) => void
}

export class EventStream {
  /** The last number that was handed on; null until the stream said where it begins. */
  seq: number | null
  readonly #options: StreamOptions
  #source: EventSource | null = null
  #queue: BridgeEvent[] = []
  #frame = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  #retry: ReturnType<typeof setTimeout> | undefined
  #tries = 0
  #closed = false

  constructor(after: number | null, options: StreamOptions) {
    this.seq = after
    this.#options = options
    addEventListener('online', this.#again)
    addEventListener('focus', this.#again)
    document.addEventListener('visibilitychange', this.#again)
    this.#open()
  }

  /** Begins again at another number; everything after it comes (again). */
  restart(after: number): void {
    this.#flush()
    this.seq = after
    this.#open()
  }

  close(): void {
    this.#closed = true
    removeEventListener('online', this.#again)
    removeEventListener('focus', this.#again)
    document.removeEventListener('visibilitychange', this.#again)
    clearTimeout(this.#retry)
    clearTimeout(this.#timer)
    cancelAnimationFrame(this.#frame)
    this.#source?.close()
  }

  #open(): void {
    clearTimeout(this.#retry)
    this.#retry = undefined
    this.#source?.close()
    if (this.#closed) return
    this.#options.onConnection('connecting')
    const source = new EventSource(this.#options.url(this.seq))
    this.#source = source
    const live = () => {
      if (source !== this.#source) return
      this.#tries = 0
      this.#options.onConnection('live')
    }
    source.addEventListener('open', live)
    source.addEventListener('hello', (message: MessageEvent<string>) => {
      live()
      if (source === this.#source && this.seq === null) this.#begin(message.data)
    })
    for (const kind of KINDS) {
      source.addEventListener(kind, (message: MessageEvent<string>) => {
        // The event kind `error` shares its name with EventSource's own trouble, which has no data.
        if (source !== this.#source || typeof message.data !== 'string') return
        const event = eventOf(kind, message.lastEventId, message.data, Date.now())
        if (event) this.#take(event)
      })
    }
    source.addEventListener('error', (trouble) => {
      if (source !== this.#source || trouble instanceof MessageEvent) return
      source.close()
      this.#options.onConnection('broken')
      const wait = Math.min(RETRY_LAST_MS, RETRY_FIRST_MS * 2 ** this.#tries)
      this.#tries += 1
      this.#retry = setTimeout(() => this.#open(), wait * (0.5 + Math.random() / 2))
    })
  }

  /** The network or the person came back: try now. */
  readonly #again = (): void => {
    if (this.#retry !== undefined && !document.hidden) this.#open()
  }

  #begin(hello: string): void {
    try {
      const { seq } = JSON.parse(hello) as { seq?: number }
      this.seq = typeof seq === 'number' ? seq : 0
    } catch {
      this.seq = 0
    }
    this.#options.onBegin(this.seq)
  }

  #take(event: BridgeEvent): void {
    const last = this.#queue.at(-1)?.seq ?? this.seq ?? 0
    if (event.seq <= last) return
    this.#queue.push(event)
    if (document.hidden) this.#timer ??= setTimeout(this.#flush, HIDDEN_FLUSH_MS)
    else this.#frame ||= requestAnimationFrame(this.#flush)
  }

  readonly #flush = (): void => {
    clearTimeout(this.#timer)
    cancelAnimationFrame(this.#frame)
    this.#timer = undefined
    this.#frame = 0
    const events = this.#queue
    const last = events.at(-1)
    if (!last) return
    this.#queue = []
    this.seq = last.seq
    this.#options.onEvents(events)
  }
}
