import { expect, test } from 'vitest'
import type { Candidate, CandidateDiff, Comparison } from '@/api/runs/comparisons'
import { candidateLook, comparisonLook, diffWords, fileRows, isOwnPath } from './comparison-words'

const change = (path: string, added: number | null, kind = 'modified' as const) => ({
  path,
  kind,
  sizeBefore: 1,
  sizeAfter: 2,
  added,
  removed: added === null ? null : 0,
})

const diff = (...changes: CandidateDiff['changes']): CandidateDiff => ({
  changes,
  truncated: false,
  added: 3,
  removed: 1,
  counted: true,
})

const candidate = (status: string | null, more: Partial<Candidate> = {}) =>
  ({
    number: 1,
    runId: 'r',
    projectId: 'p',
    kept: false,
    outcome: null,
    run: status && { status, phase: 'build', waitsFor: null, meta: { attempt: 1 } },
    ...more,
  }) as Candidate

const comparison = (status: Comparison['status'], ...candidates: Candidate[]) =>
  ({ status, candidates }) as Comparison

test('a comparison needs a person when all of its candidates are done', () => {
  const look = (...runs: string[]) =>
    comparisonLook(comparison('open', ...runs.map((run) => candidate(run)))).word
  expect(look('completed', 'running', 'queued')).toBe('1 of 3 done')
  expect(look('completed', 'error')).toBe('Keep one')
  expect(
    comparisonLook(comparison('kept', candidate('completed', { number: 2, kept: true }))),
  ).toEqual({ shape: 'tick', tone: 'moss', word: 'Kept candidate 2' })
})

test('a candidate that is gone still says what it came to', () => {
  const outcome = {
    status: 'error' as const,
    provider: null,
    model: null,
    cost: null,
    durationMs: null,
  }
  expect(candidateLook(candidate(null, { projectId: null, outcome }), 'kept').word).toBe('Failed')
  expect(candidateLook(candidate(null, { projectId: null }), 'kept').word).toBe('Gone')
  expect(candidateLook(candidate(null, { projectId: null }), 'making').word).toBe('Being made')
})

test('files are told side by side, and what is not of the project is only counted', () => {
  expect(isOwnPath('/home/project/.git/index')).toBe(false)
  expect(isOwnPath('/home/project/.gitignore')).toBe(true)
  const one = diff(change('/home/project/b', 1), change('/root/.cache/x', null))
  const again = change('/home/project/written-as-it-was', 0)
  const two = diff(change('/home/project/a', 2), change('/home/project/b', 3), again)
  const { rows, others } = fileRows(
    new Map([
      ['1', one],
      ['2', two],
    ]),
  )
  expect(rows.map(({ path, by }) => [path, [...by.keys()]])).toEqual([
    ['/home/project/a', ['2']],
    ['/home/project/b', ['1', '2']],
  ])
  expect(others).toBe(1)
  expect(diffWords(one)).toBe('1 file, +3 −1')
  expect(diffWords(diff())).toBe('no file of the project')
})
