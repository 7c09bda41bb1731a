// The event stream of one project: one connection, made again by us with the last number that we saw,
// so that nothing is lost. What comes is handed on in batches.
import { eventOf, isKind, type BridgeEvent } from '../events'
import { Batch } from './batch'
import { Line, type Connection } from './line'
import type { Frame } from './sse'

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
  readonly #line: Line
  readonly #batch: Batch<BridgeEvent>

  constructor(after: number | null, options: StreamOptions) {
    this.seq = after
    this.#options = options
    this.#batch = new Batch((events) => {
      this.seq = events.at(-1)?.seq ?? this.seq
      options.onEvents(events)
    })
    this.#line = new Line({
      // What was taken but not handed on yet is not asked for again.
      request: () => ({ url: options.url(this.#batch.last?.seq ?? this.seq) }),
      onFrame: (frame) => this.#told(frame),
      onConnection: options.onConnection,
    })
    this.#line.open()
  }

  /** Begins again at another number; everything after it comes (again). */
  restart(after: number): void {
    this.#batch.flush()
    this.seq = after
    this.#line.open()
  }

  close(): void {
    this.#line.close()
    this.#batch.close()
  }

  #told(frame: Frame): void {
    if (frame.event === 'hello') {
      if (this.seq === null) this.#begin(frame.data)
    } else if (isKind(frame.event)) {
      const event = eventOf(frame.event, frame.id, frame.data, Date.now())
      const last = this.#batch.last?.seq ?? this.seq ?? 0
      if (event && event.seq > last) this.#batch.add(event)
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
}
