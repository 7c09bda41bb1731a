// Collects what comes fast and hands it on together, once per animation frame.

/** Frames do not come in hidden tabs; things are handed on all the same. */
const HIDDEN_FLUSH_MS = 200

export class Batch<T> {
  #items: T[] = []
  #frame = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  readonly #onItems: (items: T[]) => void

  constructor(onItems: (items: T[]) => void) {
    this.#onItems = onItems
  }

  /** The last one that waits. */
  get last(): T | undefined {
    return this.#items.at(-1)
  }

  add(item: T): void {
    this.#items.push(item)
    if (document.hidden) this.#timer ??= setTimeout(this.flush, HIDDEN_FLUSH_MS)
    else this.#frame ||= requestAnimationFrame(this.flush)
  }

  readonly flush = (): void => {
    this.#still()
    const items = this.#items
    if (items.length === 0) return
    this.#items = []
    this.#onItems(items)
  }

  /** What waits is dropped. */
  close(): void {
    this.#still()
    this.#items = []
  }

  #still(): void {
    clearTimeout(this.#timer)
    cancelAnimationFrame(this.#frame)
    this.#timer = undefined
    this.#frame = 0
  }
}
