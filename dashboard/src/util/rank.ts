// How well a title fits what was typed. By whole beginnings of words, never by scattered letters: what
// comes first is what Enter does, so it must be what a person would expect.

const WORD = /[\p{L}\p{N}]+/gu

/** Shorter pieces are looked for at the beginning of words only. */
const INSIDE_CHARS_MIN = 3

function wordsIn(text: string): string[] {
  return text.toLowerCase().match(WORD) ?? []
}

function best(piece: string, words: readonly string[], [whole, begin, inside]: number[]): number {
  let found = 0
  for (const word of words) {
    if (word === piece) found = Math.max(found, whole ?? 0)
    else if (word.startsWith(piece)) found = Math.max(found, begin ?? 0)
    else if (piece.length >= INSIDE_CHARS_MIN && word.includes(piece))
      found = Math.max(found, inside ?? 0)
  }
  return found
}

/** 0 when a typed word is found nowhere, else more the better it fits. `more` are words that are not
 * shown. */
export function rank(typed: string, title: string, more = ''): number {
  const pieces = wordsIn(typed)
  if (pieces.length === 0) return 0
  const shown = wordsIn(title)
  const hidden = wordsIn(more)
  let sum = 0
  for (const piece of pieces) {
    const score = best(piece, shown, [10, 8, 4]) || best(piece, hidden, [3, 2, 1])
    if (score === 0) return 0
    sum += score
  }
  const all = pieces.join(' ')
  const whole = shown.join(' ')
  const start = whole === all ? 20 : whole.startsWith(all) ? 10 : whole.includes(all) ? 2 : 0
  return sum / pieces.length + start
}
