// One line to a stream of server-sent events: made again when it breaks, cut when it is silent. What its
// frames mean, and where they go on after a break, is the matter of who opened it.
import { signedOut } from '../http'
import { FrameReader, type Frame } from './sse'

export type Connection = 'connecting' | 'live' | 'broken'

/** First wait before a new try, doubled up to the last, with jitter. */
const RETRY_FIRST_MS = 250
const RETRY_LAST_MS = 8000
/** The server says something every 15 s: a line without it for this long is dead. */
const SILENCE_MS = 40_000

interface LineOptions {
  /** Where to ask, each time that it is made: it says what was seen last. */
  request: () => { url: string; headers?: Record<string, string> }
  onFrame: (frame: Frame) => void
  onConnection: (connection: Connection) => void
  /** The server answered, and gives no stream. */
  onRefused?: (status: number) => void
}

export class Line {
  readonly #options: LineOptions
  #line: AbortController | null = null
  #silence: ReturnType<typeof setTimeout> | undefined
  #retry: ReturnType<typeof setTimeout> | undefined
  #tries = 0
  #closed = false

  constructor(options: LineOptions) {
    this.#options = options
    addEventListener('online', this.#again)
    addEventListener('focus', this.#again)
    document.addEventListener('visibilitychange', this.#again)
  }

  /** Makes it, in place of the one that there is. */
  open(): void {
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

  close(): void {
    this.#closed = true
    removeEventListener('online', this.#again)
    removeEventListener('focus', this.#again)
    document.removeEventListener('visibilitychange', this.#again)
    clearTimeout(this.#retry)
    clearTimeout(this.#silence)
    this.#line?.abort()
  }

  /** Reads until the line ends, however it ends. */
  async #read(line: AbortController): Promise<void> {
    const { url, headers } = this.#options.request()
    const response = await fetch(url, {
      headers: { accept: 'text/event-stream', ...headers },
      cache: 'no-store',
      signal: line.signal,
    })
    if (response.status === 401) signedOut()
    if (!response.ok || !response.body) {
      if (line === this.#line) this.#options.onRefused?.(response.status)
      return
    }
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
      for (const frame of frames.take(value)) this.#options.onFrame(frame)
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
    this.#retry = setTimeout(() => this.open(), wait * (0.5 + Math.random() / 2))
  }

  /** The network or the person came back: try now. */
  readonly #again = (): void => {
    if (this.#retry !== undefined && !document.hidden) this.open()
  }
}
