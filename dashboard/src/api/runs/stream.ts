// Follows the events of one run: from after the last that was seen to its last one, over breaks of the line.
import { Batch } from '../live/batch'
import { Line, type Connection } from '../live/line'
import { isLast, runEventOf, type RunEvent } from './events'

interface Options {
  url: string
  /** The number of the last event that was seen. */
  after: number
  onEvents: (events: RunEvent[]) => void
  onConnection: (connection: Connection) => void
  /** The server knows no such event: what was seen is not what it has. All of it comes again. */
  onAnew: () => void
}

export class RunStream {
  readonly #line: Line
  readonly #batch: Batch<RunEvent>
  #seen: number

  constructor({ url, after, onEvents, onConnection, onAnew }: Options) {
    this.#seen = after
    this.#batch = new Batch(onEvents)
    this.#line = new Line({
      request: () => ({
        url,
        ...(this.#seen > 0 ? { headers: { 'last-event-id': String(this.#seen) } } : {}),
      }),
      onFrame: (frame) => {
        const event = runEventOf(frame)
        if (!event || event.seq <= this.#seen) return
        this.#seen = event.seq
        this.#batch.add(event)
        if (isLast(event)) this.#line.close()
      },
      onConnection,
      onRefused: (status) => {
        if (status === 400 && this.#seen > 0) {
          this.#batch.close()
          this.#seen = 0
          onAnew()
        } else if (status === 404) this.#line.close()
      },
    })
    this.#line.open()
  }

  close(): void {
    this.#line.close()
    this.#batch.close()
  }
}
