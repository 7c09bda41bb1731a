import { expect, test } from 'vitest'
import { diffCounts, diffOf, parseDiff } from './diff-lines'

test('a unified diff has numbers from its hunks', () => {
  const lines = parseDiff(
    '--- a/x\n+++ b/x\n@@ -3,3 +3,4 @@ fn main\n same\n-old\n+new\n+more\n last\n',
  )
  expect(lines).toEqual([
    { sign: '@', line: null, text: 'fn main' },
    { sign: ' ', line: 3, text: 'same' },
    { sign: '-', line: 4, text: 'old' },
    { sign: '+', line: 4, text: 'new' },
    { sign: '+', line: 5, text: 'more' },
    { sign: ' ', line: 6, text: 'last' },
  ])
})

test('removed lines that look like a header are lines', () => {
  const lines = parseDiff('@@ -1,2 +1,1 @@\n--- dashes\n kept')
  expect(lines).toEqual([
    { sign: '-', line: 1, text: '-- dashes' },
    { sign: ' ', line: 1, text: 'kept' },
  ])
})

test('a diff of several files names each, whatever its lines look like', () => {
  const lines = parseDiff(
    '--- a.sql\n+++ a.sql\n@@ -1,2 +1,1 @@\n--- a comment\n kept\n--- b/c.txt\n+++ b/c.txt\n@@ -0,0 +1 @@\n+new\n',
  )
  expect(lines).toEqual([
    { sign: '#', line: null, text: 'a.sql' },
    { sign: '-', line: 1, text: '-- a comment' },
    { sign: ' ', line: 1, text: 'kept' },
    { sign: '#', line: null, text: 'c.txt' },
    { sign: '+', line: 1, text: 'new' },
  ])
})

test('the numbered form is read too', () => {
  expect(parseDiff('  8 same\n-10   old\n+10   new\n    ...')).toEqual([
    { sign: ' ', line: 8, text: 'same' },
    { sign: '-', line: 10, text: '  old' },
    { sign: '+', line: 10, text: '  new' },
    { sign: '@', line: null, text: '' },
  ])
})

test('details without a diff have none', () => {
  for (const details of [null, undefined, {}, { diff: '' }, { diff: 3 }, 'diff']) {
    expect(diffOf(details)).toBeNull()
  }
  expect(diffCounts(diffOf({ diff: '+1 a\n+2 b\n-1 c' }) ?? [])).toEqual({ added: 2, removed: 1 })
})
