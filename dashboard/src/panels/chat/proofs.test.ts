import { expect, test } from 'vitest'
import type { Row } from '@/api/transcript/types'
import {
  beginnings,
  checksWords,
  claimLook,
  commandOf,
  proofLook,
  proofsByTurn,
  staleWords,
  type Proof,
} from './proofs'

const proof = (of: Partial<Proof> = {}): Proof => ({
  number: 1,
  sessionId: 's',
  toolCallId: 'c1',
  argv: ['bash', '-c', 'npm test'],
  startedAt: 10,
  endedAt: 20,
  exitCode: 0,
  signal: null,
  checks: [{ kind: 'test', command: 'npm test', decides: true }],
  stamp: 'taken',
  tree: { hash: `sha256:${'a'.repeat(64)}`, files: 3, bytes: 9, changed: false },
  stale: false,
  ...of,
})
const user = (id: string, at: number): Row => ({ kind: 'user', id, text: id, images: [], at })
const tool = (callId: string) => ({ kind: 'tool', id: callId, callId }) as Row
const end = (id: string) => ({ kind: 'tally', id }) as Row

test('a receipt belongs to the turn of its call, another one to the turn that it ran in', () => {
  const rows = [
    user('u1', 10),
    tool('c1'),
    user('steer', 30),
    tool('c2'),
    end('r1'),
    user('u2', 100),
    tool('c3'),
    end('r2'),
    user('u3', 200),
    tool('c4'),
  ]
  const of = (toolCallId: string, startedAt: number) =>
    [...proofsByTurn(rows, [proof({ toolCallId, startedAt })])].map(([row]) => row)
  expect(of('c1', 12)).toEqual(['r1'])
  // The call counts, not the clock.
  expect(of('c2', 150)).toEqual(['r1'])
  expect(of('c3', 120)).toEqual(['r2'])
  expect(of('check_1', 99)).toEqual(['r1'])
  expect(of('check_2', 140)).toEqual(['r2'])
  // Its turn goes on.
  expect(of('c4', 210)).toEqual([])
  expect(of('check_0', 5)).toEqual([])
})

test('a turn began with the first words since the one before', () => {
  const rows = [user('u1', 1), user('steer', 2), end('r1'), end('r2'), user('u2', 3), end('r3')]
  expect([...beginnings(rows)].map(([row, { id }]) => `${row} ${id}`)).toEqual(['r1 u1', 'r3 u2'])
})

test('a shell is not what was run', () => {
  expect(commandOf({ argv: ['bash', '-c', 'npm test'] })).toBe('npm test')
  expect(commandOf({ argv: ['/bin/sh', '-c', 'a | b'] })).toBe('a | b')
  expect(commandOf({ argv: ['cargo', 'test', '-p', 'x'] })).toBe('cargo test -p x')
})

test('a receipt says what is so, and greys with the files', () => {
  const look = (of: Partial<Proof>) => {
    const { word, tone } = proofLook(proof(of))
    return `${word} ${tone}`
  }
  expect(look({})).toBe('passed moss')
  expect(look({ stale: true })).toBe('passed quiet')
  expect(look({ exitCode: 1 })).toBe('failed red')
  expect(look({ exitCode: null, signal: 9 })).toBe('failed red')
  expect(look({ exitCode: 1, checks: [] })).toBe('failed quiet')
  expect(look({ checks: [] })).toBe('ran quiet')
  expect(look({ checks: [{ kind: 'test', command: 'x', decides: false }] })).toBe('undecided quiet')
  expect(staleWords(proof())).toBe('unchanged since')
  expect(staleWords(proof({ stale: true }))).toBe('changed since')
  expect(staleWords(proof({ stale: null }))).toBe(null)
  expect(staleWords(proof({ stamp: 'pending', tree: null }))).toBe('reading the files…')
  expect(staleWords(proof({ stamp: 'none', tree: null }))).toBe(null)
})

test('a claim is as good as its receipt', () => {
  const look = (of: Parameters<typeof claimLook>[0], by: Proof | null) => claimLook(of, by).word
  expect(look({ proof: 'none', receipt: null }, null)).toBe('no receipt')
  expect(look({ proof: 'passed', receipt: 1 }, proof())).toBe('receipt')
  expect(look({ proof: 'passed', receipt: 1 }, proof({ stale: true }))).toBe('changed since')
  expect(look({ proof: 'failed', receipt: 1 }, proof({ exitCode: 1 }))).toContain('failed')
  expect(look({ proof: 'undecided', receipt: 1 }, proof())).toContain('not decide')
})

test('the newest run of each check counts for its turn', () => {
  const lint = [{ kind: 'lint' as const, command: 'npm run lint', decides: true }]
  expect(checksWords([])).toBe(null)
  expect(checksWords([proof({ checks: [] })])).toBe(null)
  expect(checksWords([proof({ exitCode: 1 }), proof()])).toBe('1 check passed')
  expect(checksWords([proof(), proof({ checks: lint, exitCode: 1 })])).toBe('1 of 2 checks failed')
  expect(checksWords([proof({ exitCode: 1, stale: true })])).toBe('1 check failed, changed since')
  expect(checksWords([proof({ checks: [{ ...lint[0]!, decides: false }] })])).toBe('1 check ran')
})
