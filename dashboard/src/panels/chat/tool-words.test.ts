import { expect, test } from 'vitest'
import type { ToolRow } from '@/api/transcript/types'
import { newTool } from '@/api/transcript/rows'
import { toolWords } from './tool-words'

const row = (name: string, more: Partial<ToolRow>): ToolRow => ({
  ...newTool('m', 'm:0', 'c', name),
  ...more,
})
const text = (words: string) => [{ type: 'text' as const, text: words }]

test('a command says how it ended', () => {
  const input = { command: 'make\n  test' }
  const failed = row('bash', {
    input,
    state: 'failed',
    result: text('boom'),
    details: { exitCode: 2 },
  })
  expect(toolWords(failed)).toMatchObject({ did: 'Ran', object: 'make test', result: 'exit 2' })
  const silent = row('bash', { input, state: 'done', result: text('') })
  expect(toolWords(silent).result).toBe('no output')
})

test('a command in the background says so', () => {
  const started = row('bash', {
    input: { command: 'node server.mjs' },
    state: 'done',
    result: text('It runs in the background'),
    details: { background: true, id: 's:c', exitCode: null, signal: null },
  })
  expect(toolWords(started).result).toBe('in the background')
})

test('a new file counts its lines, a changed one what came and went', () => {
  const fresh: Partial<ToolRow> = {
    input: { path: 'a', content: 'x\ny\n' },
    state: 'done',
    result: [],
  }
  expect(toolWords(row('write', fresh)).result).toBe('2 lines')
  const details = { diff: '@@ -1 +1,2 @@\n-a\n+b\n+c', addedLines: 2, removedLines: 1 }
  expect(toolWords(row('write', { ...fresh, details })).result).toBe('+2 −1')
})

test('an edit counts its lines', () => {
  const edit = row('edit', {
    input: { path: 'a' },
    state: 'done',
    result: [],
    details: { diff: '+1 a\n-1 b' },
  })
  expect(toolWords(edit)).toMatchObject({ did: 'Edited', object: 'a', result: '+1 −1' })
})

test('arguments show while they are still being written', () => {
  const half = row('write', { inputText: '{"path":"src/ma' })
  expect(toolWords(half)).toMatchObject({ doing: 'Writing', object: 'src/ma' })
})

test('an unknown tool shows its name and arguments', () => {
  expect(toolWords(row('jira_search', { input: { q: 1 } }))).toMatchObject({
    did: 'jira_search',
    object: '{"q":1}',
  })
})

test('a failure shows its first line', () => {
  const failed = row('read', {
    input: { path: 'x' },
    state: 'failed',
    result: text('No such file\nmore'),
  })
  expect(toolWords(failed).result).toBe('No such file')
})

test('a list of steps says which one is worked on, and how far it is', () => {
  const items = [
    { content: 'read', status: 'completed' },
    { content: 'write', status: 'in_progress' },
  ]
  const done = row('todo', {
    input: { items },
    state: 'done',
    result: text(''),
    details: { items },
  })
  expect(toolWords(done)).toMatchObject({ object: 'write', result: '1 of 2 done' })
  expect(toolWords(row('todo', { input: { items: [] } })).object).toBe('')
})

test('a patch names its file, or says how many, also before it was done', () => {
  const input = { input: '*** Begin Patch\n*** Update File: a b.txt\n*** End Patch' }
  expect(toolWords(row('apply_patch', { input }))).toMatchObject({ object: 'a b.txt', mono: true })
  const details = { files: [{ path: 'a' }, { path: 'b' }], addedLines: 3, removedLines: 0 }
  const done = row('apply_patch', { input, state: 'done', result: text(''), details })
  expect(toolWords(done)).toMatchObject({ object: '2 files', result: '+3 −0' })
})

test('a task says what it took; one that a person stopped did not fail', () => {
  const input = { description: 'Count the tests' }
  const usage = { cost: { total: 0.02 } }
  const end = { input, result: text('The helper was stopped by a person.') }
  const done = row('task', { ...end, state: 'done', details: { tools: 2, usage } })
  expect(toolWords(done).result).toBe('2 tool calls · US$ 0.020')
  const stopped = row('task', { ...end, state: 'failed', details: { reason: 'aborted' } })
  expect(toolWords(stopped).result).toBe('stopped')
})

test('a call that was not allowed, or not made again, was not done', () => {
  const call = { input: { command: 'git push' }, state: 'failed' as const, result: text('No.') }
  const words = (details: object) => toolWords(row('bash', { ...call, details }))
  expect(words({ denied: true })).toMatchObject({ did: 'Not allowed', result: '' })
  expect(words({ doubt: true })).toMatchObject({ did: 'Not run again', result: '' })
})

test('programs in the background are named by what is done to them', () => {
  const of = (action: string) => toolWords(row('process', { input: { action, id: 'p1' } }))
  expect(of('kill')).toMatchObject({ did: 'Ended', object: 'p1' })
  expect(of('list').object).toBe('what runs in the background')
})
