// A diff as lines with numbers. Reads unified diffs and the numbered form (`+12 text`) that Pi's edit
// tool writes.

export interface DiffLine {
  /** `#`: another file begins here; `@`: lines are left out. */
  sign: '+' | '-' | ' ' | '@' | '#'
  /** Number in the old file for removed lines, in the new one otherwise. */
  line: number | null
  text: string
}

/** The diff in a tool's details, if there is one. */
export function diffOf(details: unknown): DiffLine[] | null {
  if (typeof details !== 'object' || details === null || !('diff' in details)) return null
  return typeof details.diff === 'string' && details.diff ? parseDiff(details.diff) : null
}

export function diffCounts(lines: readonly DiffLine[]): { added: number; removed: number } {
  return {
    added: lines.filter((line) => line.sign === '+').length,
    removed: lines.filter((line) => line.sign === '-').length,
  }
}

const HUNK = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)$/
const FILE = /^\+\+\+ (?:b\/)?([^\t]+)/
const NUMBERED = /^([+\- ])\s*(\d+) ?(.*)$/

export function parseDiff(diff: string): DiffLine[] {
  const lines = diff.replace(/\n$/, '').split('\n')
  return lines.some((line) => HUNK.test(line)) ? unified(lines) : numbered(lines)
}

function unified(lines: string[]): DiffLine[] {
  const out: DiffLine[] = []
  let before = 0
  let after = 0
  let left = { before: 0, after: 0 }
  const many = lines.filter((line) => line.startsWith('+++ ')).length > 1
  for (const line of lines) {
    const hunk = HUNK.exec(line)
    if (hunk) {
      before = Number(hunk[1])
      after = Number(hunk[3])
      left = { before: Number(hunk[2] ?? 1), after: Number(hunk[4] ?? 1) }
      // The first hunk below a file's name needs no mark of its own.
      const above = out.at(-1)
      if (hunk[5] || above?.sign !== '#') out.push({ sign: '@', line: null, text: hunk[5] ?? '' })
    } else if (left.before <= 0 && left.after <= 0) {
      // File headers: a line of a file that looks like one is counted by its hunk.
      const file = many ? FILE.exec(line)?.[1] : undefined
      if (file) out.push({ sign: '#', line: null, text: file })
    } else if (line.startsWith('\\')) {
      // "No newline at end of file".
    } else if (line.startsWith('+')) {
      out.push({ sign: '+', line: after, text: line.slice(1) })
      after += 1
      left.after -= 1
    } else if (line.startsWith('-')) {
      out.push({ sign: '-', line: before, text: line.slice(1) })
      before += 1
      left.before -= 1
    } else {
      out.push({ sign: ' ', line: after, text: line.slice(1) })
      before += 1
      after += 1
      left.before -= 1
      left.after -= 1
    }
  }
  // A hunk mark above everything says nothing.
  return out[0]?.sign === '@' && !out[0].text ? out.slice(1) : out
}

function numbered(lines: string[]): DiffLine[] {
  return lines.map((line) => {
    const parts = NUMBERED.exec(line)
    if (parts) {
      return {
        sign: parts[1] as '+' | '-' | ' ',
        line: Number(parts[2]),
        text: parts[3] ?? '',
      }
    }
    if (/^\s*\.\.\.\s*$/.test(line)) return { sign: '@', line: null, text: '' }
    const sign = line.startsWith('+') ? '+' : line.startsWith('-') ? '-' : ' '
    return { sign, line: null, text: sign === ' ' ? line : line.slice(1) }
  })
}
