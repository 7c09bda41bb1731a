// Splits markdown that is still being written into closed blocks and the open last one, so that only
// the last is parsed again. A block ends at a blank line outside a fence; lists, quotes and tables stay
// whole because their lines are joined again when the next block continues them.

export interface MarkdownBlock {
  /** Start in the text: stable while the text only grows. */
  at: number
  text: string
  /** A fence that is not closed yet: shown as it is. */
  openFence: boolean
}

const FENCE = /^ {0,3}(`{3,}|~{3,})/
/** A line that belongs to the block above although a blank line parts them. */
const CONTINUES = /^(\s{2,}\S|[-*+] |\d{1,9}[.)] )/
const LIST = /^\s{0,3}([-*+] |\d{1,9}[.)] )/

export function splitMarkdown(text: string): MarkdownBlock[] {
  const blocks: MarkdownBlock[] = []
  let start = 0
  let at = 0
  let fence: string | null = null
  let blank = true
  let inList = false

  const close = (end: number, openFence = false) => {
    const body = text.slice(start, end)
    if (body.trim()) blocks.push({ at: start, text: body, openFence })
    start = end
    inList = false
  }

  while (at < text.length) {
    const newline = text.indexOf('\n', at)
    const end = newline < 0 ? text.length : newline + 1
    const line = text.slice(at, newline < 0 ? text.length : newline)
    const mark = FENCE.exec(line)?.[1]
    if (fence) {
      if (mark && mark.startsWith(fence) && line.trim() === mark) {
        fence = null
        // A fence inside a list item belongs to the list.
        if (!inList) {
          close(end)
          blank = true
        }
      }
    } else if (mark) {
      if (!inList || !/^\s/.test(line)) close(at)
      fence = mark
      blank = false
    } else if (line.trim() === '') {
      blank = true
    } else {
      if (blank && at > start && !(inList && CONTINUES.test(line))) close(at)
      if (LIST.test(line)) inList = true
      blank = false
    }
    at = end
  }
  close(text.length, fence !== null)
  return blocks
}
