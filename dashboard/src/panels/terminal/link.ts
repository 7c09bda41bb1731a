// The line to a terminal in the machine: bytes both ways, JSON for size and end. Reconnects by itself;
// the machine plays back what it kept, so the screen is cleared before.

/** First wait before a new try, doubled up to the last. */
const RETRY_FIRST_MS = 300
const RETRY_LAST_MS = 5000

export interface LinkOptions {
  url: string
  /** Whether the terminal still lives, asked when the line breaks without a word; null when that
   * cannot be known without waking the machine. */
  exists: () => Promise<boolean | null>
  onOpen: () => void
  onBytes: (bytes: Uint8Array) => void
  onEnd: (words: string) => void
  onLost: (lost: boolean) => void
}

export class TerminalLink {
  readonly #options: LinkOptions
  #socket: WebSocket | null = null
  #timer: ReturnType<typeof setTimeout> | undefined
  #tries = 0
  #closed = false
  #size: { cols: number; rows: number } | null = null

  constructor(options: LinkOptions) {
    this.#options = options
    this.#open()
  }

  send(text: string): void {
    this.#write(new TextEncoder().encode(text))
  }

  /** Bytes that are no text: some mouse reports. */
  sendBinary(text: string): void {
    this.#write(Uint8Array.from(text, (char) => char.codePointAt(0) ?? 0))
  }

  #write(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(bytes)
  }

  resize(cols: number, rows: number): void {
    this.#size = { cols, rows }
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify({ type: 'resize', cols, rows }))
    }
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#socket?.close()
  }

  #open(): void {
    const socket = new WebSocket(this.#options.url)
    socket.binaryType = 'arraybuffer'
    this.#socket = socket
    socket.addEventListener('open', () => {
      this.#tries = 0
      this.#options.onLost(false)
      this.#options.onOpen()
      if (this.#size) this.resize(this.#size.cols, this.#size.rows)
    })
    socket.addEventListener('message', (message: MessageEvent<ArrayBuffer | string>) => {
      if (typeof message.data === 'string') this.#told(message.data)
      else this.#options.onBytes(new Uint8Array(message.data))
    })
    socket.addEventListener('close', () => {
      if (!this.#closed) void this.#lost()
    })
  }

  #told(text: string): void {
    try {
      const told = JSON.parse(text) as {
        type?: string
        code?: number | null
        signal?: number | null
      }
      if (told.type !== 'exit') return
      this.#closed = true
      this.#options.onEnd(
        told.signal
          ? `Ended by signal ${told.signal}.`
          : told.code
            ? `Ended with exit code ${told.code}.`
            : 'Ended.',
      )
    } catch {
      // Not for us.
    }
  }

  /** The browser does not say why a socket ended. A line that is made again wakes a machine that
   * rests, so it is asked for first. */
  async #lost(): Promise<void> {
    const alive = await this.#options.exists().catch(() => null)
    if (this.#closed) return
    if (alive === false) {
      this.#closed = true
      this.#options.onEnd('This terminal has ended.')
      return
    }
    this.#options.onLost(true)
    const wait = Math.min(RETRY_LAST_MS, RETRY_FIRST_MS * 2 ** this.#tries)
    this.#tries += 1
    this.#timer = setTimeout(() => {
      if (alive) this.#open()
      else void this.#lost()
    }, wait)
  }
}
