import { expect, test } from 'vitest'
import type { TreeNode } from '@/api/bridge-types'
import { treeLines } from './session-tree'

const node = (
  id: string,
  parentId: string | null,
  role: string | null,
  label?: string,
): TreeNode => ({
  id,
  parentId,
  role,
  kind: role ? 'message' : 'custom',
  text: id,
  label: label ?? null,
  timestamp: 0,
  onPath: true,
})

const read = (nodes: TreeNode[]) =>
  treeLines(nodes).map(
    ({ node: { id }, depth, end }) => `${' '.repeat(depth)}${id}${end ? '.' : ''}`,
  )

test('a straight conversation is what was said, and its end', () => {
  expect(
    read([
      node('u1', null, 'user'),
      node('a1', 'u1', 'assistant'),
      node('t1', 'a1', 'toolResult'),
      node('a2', 't1', 'assistant'),
      node('mark', 'a2', null),
    ]),
  ).toEqual(['u1', 'a2.'])
})

test('branches stand below the place where they part, each whole', () => {
  expect(
    read([
      node('u1', null, 'user'),
      node('a1', 'u1', 'assistant'),
      node('u2', 'a1', 'user'),
      node('a2', 'u2', 'assistant'),
      node('u3', 'a1', 'user'),
      node('a3', 'u3', 'assistant', 'good'),
      node('u4', 'a3', 'user'),
    ]),
  ).toEqual(['u1', ' u2', ' a2.', ' u3', ' a3', ' u4.'])
})

test('a conversation of ten thousand entries is read without a deep stack', () => {
  const nodes = Array.from({ length: 10_000 }, (_, n) =>
    node(`n${n}`, n === 0 ? null : `n${n - 1}`, n % 2 === 0 ? 'user' : 'assistant'),
  )
  expect(treeLines(nodes)).toHaveLength(5001)
})
