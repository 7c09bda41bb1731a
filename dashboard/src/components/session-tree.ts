// A conversation's tree as a list that a person reads: where something was said, where branches end, what
// has a name. Everything between is left out.
import type { TreeNode } from '@/api/bridge-types'

export interface TreeLine {
  node: TreeNode
  /** Branches above it. */
  depth: number
  /** The last entry of its branch. */
  end: boolean
}

/** In the order of reading: a branch whole, then the next one beside it. */
export function treeLines(nodes: readonly TreeNode[]): TreeLine[] {
  const known = new Set(nodes.map((node) => node.id))
  const children = new Map<string | null, TreeNode[]>()
  for (const node of nodes) {
    const parent = node.parentId !== null && known.has(node.parentId) ? node.parentId : null
    children.set(parent, [...(children.get(parent) ?? []), node])
  }
  const said = ({ role }: TreeNode) => role === 'user' || role === 'assistant'
  /** Whether anything below it was said: marks and settings at an end are no branch of their own. */
  const speaks = new Map<string, boolean>()
  for (const node of nodes.toReversed()) {
    const below = (children.get(node.id) ?? []).some((child) => speaks.get(child.id))
    speaks.set(node.id, below || said(node))
  }
  const lines: TreeLine[] = []
  // Not by recursion: a conversation is thousands of entries deep.
  const stack = (children.get(null) ?? []).toReversed().map((node) => ({ node, depth: 0 }))
  for (let at = stack.pop(); at; at = stack.pop()) {
    const { node, depth } = at
    const next = (children.get(node.id) ?? []).filter((child) => speaks.get(child.id))
    const end = next.length === 0 && said(node)
    if (node.role === 'user' || node.label !== null || end) lines.push({ node, depth, end })
    const below = next.length > 1 ? depth + 1 : depth
    stack.push(...next.toReversed().map((child) => ({ node: child, depth: below })))
  }
  return lines
}
