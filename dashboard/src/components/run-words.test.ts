import { expect, test } from 'vitest'
import type { RunStep } from '@/api/events'
import type { StatusTold } from '@/api/runs/events'
import { canCancel, type Run } from '@/api/runs/types'
import {
  momentWords,
  needsPerson,
  runCost,
  runLook,
  runTook,
  stepWords,
  touchedWords,
} from './run-words'

const META: Run['meta'] = {
  provider: null,
  model: null,
  modelSource: null,
  usageSource: null,
  pricingSource: null,
  sandboxId: null,
  idempotencyKey: 'k1',
  workspaceBackend: null,
  priority: 0,
  attempt: 0,
  maxAttempts: 3,
  approval: false,
}

test.each<[Partial<Run>, string]>([
  [{ status: 'queued', phase: 'plan' }, 'Queued'],
  [{ status: 'queued', phase: 'over', meta: { ...META, attempt: 1 } }, 'Tries again'],
  [{ status: 'running', phase: 'plan' }, 'Planning'],
  [{ status: 'running', phase: 'plan', waitsFor: 'approval' }, 'Needs you'],
  [{ status: 'running', phase: 'build', waitsFor: 'answer' }, 'Needs you'],
  [{ status: 'running', phase: 'build', waitsFor: 'machine' }, 'Needs you'],
  [{ status: 'running', phase: 'build', waitsFor: 'host' }, 'Waits'],
  [{ status: 'running', phase: 'build', waitsFor: 'provider' }, 'Waits'],
  [{ status: 'running', phase: 'commit' }, 'Committing'],
  [{ status: 'completed', phase: 'over' }, 'Done'],
  [{ status: 'error', phase: 'over' }, 'Failed'],
  [{ status: 'cancelled', phase: 'over' }, 'Cancelled'],
])('%j is said in one word', (run, word) => {
  const all = { status: 'queued', phase: 'plan', waitsFor: null, meta: META, ...run } as Run
  expect(runLook(all).word).toBe(word)
})

test('a person is needed where nothing comes back by itself', () => {
  const waits = ['approval', 'answer', 'machine', 'host', 'provider', null] as const
  expect(waits.filter((waitsFor) => needsPerson({ waitsFor }))).toEqual([
    'approval',
    'answer',
    'machine',
  ])
})

test('what others wait behind is cancelled when they are', () => {
  const all = (...statuses: Run['status'][]) =>
    statuses.map((status, place) => ({ runIndex: place + 1, status }) as Run)
  const which = (runs: Run[]) => runs.filter((run) => canCancel(run, runs)).map((r) => r.runIndex)
  expect(which(all('completed', 'running', 'queued'))).toEqual([3])
  expect(which(all('completed', 'running', 'cancelled'))).toEqual([2])
  expect(which(all('completed', 'cancelled'))).toEqual([])
})

test('a cost that nobody knows is not nothing', () => {
  const cost = (estimatedUsd: number, currency = 'USD') => ({
    currency,
    estimatedUsd,
    pricingVersion: '1',
  })
  expect(runCost(null)).toBe(null)
  expect(runCost(cost(0))).toBe('US$ 0')
  expect(runCost(cost(0.214))).toBe('US$ 0.21')
  expect(runCost(cost(3, 'EUR'))).toBe('EUR 3.00')
})

test('a run takes from its begin to its end, or to now', () => {
  const startedAt = '2026-11-21T14:00:00Z'
  const now = Date.parse('2026-11-21T14:00:09Z')
  const took = (run: Partial<Run>) =>
    runTook({ startedAt, completedAt: null, status: 'running', ...run }, now)
  expect(took({})).toBe(9000)
  expect(took({ status: 'completed', completedAt: '2026-11-21T14:00:04Z' })).toBe(4000)
  expect(took({ status: 'cancelled', startedAt: null })).toBe(null)
  expect(took({ startedAt: null, status: 'queued' })).toBe(null)
})

const sha = '9b7de01c44'
test.each<[Omit<RunStep, 'runId'>, string, string]>([
  [{ phase: 'plan' }, 'A run plans', 'plain'],
  [{ phase: 'plan', waitsFor: 'approval' }, 'The plan of a run waits for you', 'ask'],
  [{ phase: 'build', waitsFor: 'answer' }, 'A run waits for your answer', 'ask'],
  [{ phase: 'build' }, 'A run builds', 'plain'],
  [{ phase: 'commit' }, 'A run commits what has changed', 'plain'],
  [
    { phase: 'over', status: 'completed', commit: { result: 'made', commitSha: sha } },
    'A run is done, committed as 9b7de01',
    'good',
  ],
  [
    { phase: 'over', status: 'completed', commit: { result: 'failed', error: 'locked' } },
    'A run is done, and was not committed: locked',
    'bad',
  ],
  [
    { phase: 'over', status: 'completed', commit: { result: 'skipped', reason: 'no_changes' } },
    'A run is done',
    'good',
  ],
  [{ phase: 'over', status: 'error', error: 'it broke' }, 'A run failed: it broke', 'bad'],
  [{ phase: 'over', status: 'cancelled' }, 'A run was cancelled', 'plain'],
])('a step is told in words: %j', (step, text, tone) => {
  expect(stepWords({ runId: 'r', ...step })).toEqual({ text, tone })
})

test.each<[StatusTold, string | null]>([
  [{ status: 'running', attempt: 1 }, 'Begun'],
  [{ status: 'running', attempt: 2 }, 'Begun, attempt 2'],
  [{ status: 'phase_started', phase: 'build' }, 'Builds'],
  [{ status: 'phase_completed', phase: 'plan' }, null],
  [{ status: 'model_resolved', provider: 'openai', model: 'gpt-5' }, 'openai / gpt-5 answers'],
  [{ status: 'waiting', waitsFor: 'approval' }, 'The plan waits for you'],
  [{ status: 'waiting', waitsFor: 'answer' }, 'Its agent asks you something'],
  [
    { status: 'waiting', waitsFor: 'machine' },
    'Its machine is stopped: start the project, and it goes on',
  ],
  [{ status: 'waiting', waitsFor: 'provider' }, 'The provider does not answer, and is asked again'],
  [{ status: 'waiting', waitsFor: null }, 'Goes on'],
  [{ status: 'waiting_host' }, 'The host of its machine does not answer'],
  [{ status: 'host_back' }, 'The host of its machine answers again'],
  [{ status: 'rollback_snapshot', fileCount: 2 }, 'Changed 2 files'],
  [{ status: 'rollback_snapshot', fileCount: 0 }, null],
  [{ status: 'sandbox_snapshot', fileCount: 1 }, 'Changed 1 file'],
  [{ status: 'git_commit', commitSha: sha }, 'Committed as 9b7de01'],
  [
    { status: 'git_commit_skipped', reason: 'no_changes' },
    'Nothing was committed: nothing has changed',
  ],
  [
    { status: 'git_commit_skipped', reason: 'some_new_reason' },
    'Nothing was committed: some new reason',
  ],
  [
    { status: 'workspace_snapshot_stored', fileCount: 1, sizeBytes: 2048 },
    'The workspace is kept: 1 file, 2.0 KiB',
  ],
  [
    { status: 'attempt_failed', attempts: 1, maxAttempts: 3, error: 'no key' },
    'Attempt 1 of 3 failed: no key',
  ],
  [{ status: 'retrying', nextAttempt: 2, backoffSeconds: 4 }, 'Tries again in 4 s'],
  [{ status: 'something_else' }, 'something else'],
])('a moment is told in words: %j', (told, text) => {
  expect(momentWords({ kind: 'status', ...told })?.text ?? null).toBe(text)
})

test('how it ended is a moment too', () => {
  expect(momentWords({ kind: 'done', durationMs: 3200 })?.text).toBe('Done after 3.2 s')
  expect(momentWords({ kind: 'done', durationMs: null })?.text).toBe('Done')
  expect(momentWords({ kind: 'error', error: 'x', attempts: 3, maxAttempts: 3 })?.text).toBe(
    'Failed, attempt 3 of 3',
  )
})

test('a file says what was done to it, and nothing when it was only looked at', () => {
  expect(touchedWords({ read: 3, write: 1, edit: 2 })).toBe('written, edited 2 times')
  expect(touchedWords({ edit: 1 })).toBe('edited')
  expect(touchedWords({ read: 1, grep: 2 })).toBe('')
})
