// Server-sent events out of text that arrives in any pieces. Our own reader instead of EventSource:
// that one hides comments, so a dead line looks like a quiet one, and hides why a line was refused.

export interface Frame {
  event: string
  id: string
  data: string
}

/** Takes text as it comes, gives back the frames that it completes. */
export class FrameReader {
  #rest = ''
  #event = ''
  #id = ''
  #data: string[] = []

  take(text: string): Frame[] {
    const frames: Frame[] = []
    // A carriage return at the very end may be the first half of a line end.
    const all = this.#rest + text
    const whole = all.endsWith('\r') ? all.slice(0, -1) : all
    const lines = whole.split(/\r\n|\n|\r/)
    this.#rest = (lines.pop() ?? '') + all.slice(whole.length)
    for (const line of lines) {
      if (line === '') {
        const frame = this.#finish()
        if (frame) frames.push(frame)
      } else this.#field(line)
    }
    return frames
  }

  #field(line: string): void {
    // A comment: it shows that the line lives, nothing more.
    if (line.startsWith(':')) return
    const colon = line.indexOf(':')
    const name = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (name === 'event') this.#event = value
    else if (name === 'id') this.#id = value
    else if (name === 'data') this.#data.push(value)
  }

  #finish(): Frame | null {
    const frame = { event: this.#event || 'message', id: this.#id, data: this.#data.join('\n') }
    const empty = this.#data.length === 0
    this.#event = ''
    this.#id = ''
    this.#data = []
    return empty ? null : frame
  }
}
