// Marks parts of markdown by their places in its source: a plugin for the parser's tree. What cannot be
// told apart there (escapes, code) stays as it is.

export interface Mark {
  /** Its place in the list that it comes from. */
  at: number
  start: number
  end: number
}

interface Node {
  type: string
  value?: string
  children?: Node[]
  position?: { start: { offset?: number }; end: { offset?: number } } | undefined
  data?: { hName: string; hProperties: Record<string, string> }
}

/** Puts a `<mark data-mark="…">` around what each mark covers. */
export function marking(marks: readonly Mark[]) {
  return () => (tree: Node) => walk(tree, marks)
}

function walk(parent: Node, marks: readonly Mark[]): void {
  if (!parent.children) return
  parent.children = parent.children.flatMap((child) => {
    if (child.type === 'text') return split(child, marks)
    // The words of a link lead somewhere already.
    if (child.type !== 'link') walk(child, marks)
    return [child]
  })
}

function split(node: Node, marks: readonly Mark[]): Node[] {
  const from = node.position?.start.offset
  const to = node.position?.end.offset
  const value = node.value ?? ''
  if (from === undefined || to === undefined || to - from !== value.length) return [node]
  const parts: Node[] = []
  let done = 0
  for (const { at, start, end } of marks.toSorted((a, b) => a.start - b.start)) {
    const [begin, stop] = [Math.max(start - from, done), Math.min(end - from, value.length)]
    if (begin >= stop) continue
    if (begin > done) parts.push({ type: 'text', value: value.slice(done, begin) })
    parts.push({
      // A kind that every renderer knows; drawn under the name in its data.
      type: 'emphasis',
      children: [{ type: 'text', value: value.slice(begin, stop) }],
      data: { hName: 'mark', hProperties: { 'data-mark': String(at) } },
    })
    done = stop
  }
  if (parts.length === 0) return [node]
  if (done < value.length) parts.push({ type: 'text', value: value.slice(done) })
  return parts
}
