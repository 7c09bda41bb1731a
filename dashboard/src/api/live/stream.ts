// The event stream of one project: one connection, made again by us with the last number that we saw,
// so that nothing is lost. What comes is handed on in batches, one per animation frame.
import { eventOf, isKind, type BridgeEvent } from '../events'
import { signedOut } from '../http'
import { FrameReader, type Frame } from './sse'

export type Connection = 'connecting' | 'live' | 'broken'

/** First wait before a new try, doubled up to the last, with jitter. */
const RETRY_FIRST_MS = 250
const RETRY_LAST_MS = 8000
/** The server sends a comment every 15 s: a line without one for this long is dead. */
const SILENCE_MS = 40_000
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
  #line: AbortController | null = null
  #silence: ReturnType<typeof setTimeout> | undefined
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
    clearTimeout(this.#silence)
    clearTimeout(this.#timer)
    cancelAnimationFrame(this.#frame)
    this.#line?.abort()
  }

  #open(): void {
    clearTimeout(this.#retry)
    this.#retry = undefined
    this.#line?.abort()
    if (this.#closed) return
    const line = new AbortController()
    this.#line = line
    this.#options.onConnection('connecting')
    this.#heard()
    void this.#read(line)
      .catch(() => {
        // Whatever broke it, the next try tells.
      })
      .finally(() => {
        if (line === this.#line && !this.#closed) this.#broken()
      })
  }

  /** Reads until the line ends, however it ends. */
  async #read(line: AbortController): Promise<void> {
    // What was queued but not handed on yet is not asked for again.
    const after = this.#queue.at(-1)?.seq ?? this.seq
    const response = await fetch(this.#options.url(after), {
      headers: { accept: 'text/event-stream' },
      cache: 'no-store',
      signal: line.signal,
    })
    if (response.status === 401) signedOut()
    if (!response.ok || !response.body) return
    this.#tries = 0
    this.#options.onConnection('live')
    const frames = new FrameReader()
    const pieces = response.body.pipeThrough(new TextDecoderStream()).getReader()
    for (;;) {
      // Pieces come one after the other.
      // oxlint-disable-next-line no-await-in-loop
      const { done, value } = await pieces.read()
      if (done || line !== this.#line) return
      this.#heard()
      for (const frame of frames.take(value)) this.#told(frame)
    }
  }

  /** The line lives; if nothing more is heard it is cut and made anew. */
  #heard(): void {
    clearTimeout(this.#silence)
    this.#silence = setTimeout(() => this.#line?.abort(), SILENCE_MS)
  }

  #broken(): void {
    clearTimeout(this.#silence)
    this.#options.onConnection('broken')
    const wait = Math.min(RETRY_LAST_MS, RETRY_FIRST_MS * 2 ** this.#tries)
    this.#tries += 1
    this.#retry = setTimeout(() => this.#open(), wait * (0.5 + Math.random() / 2))
  }

  /** The network or the person came back: try now. */
  readonly #again = (): void => {
    if (this.#retry !== undefined && !document.hidden) this.#open()
  }

  #told(frame: Frame): void {
    if (frame.event === 'hello') {
      if (this.seq === null) this.#begin(frame.data)
    } else if (isKind(frame.event)) {
      const event = eventOf(frame.event, frame.id, frame.data, Date.now())
      if (event) this.#take(event)
    }
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
