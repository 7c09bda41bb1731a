// Runs in words: how one stands, what it has just done, what it cost.
import type { RunStep } from '@/api/events'
import type { MomentRow, Touched } from '@/api/runs/course'
import type { FileVerb, StatusTold } from '@/api/runs/events'
import { isOver, type Run, type RunCost, type RunPhase, type WaitsFor } from '@/api/runs/types'
import { bytes, duration, momentOf, money, plural } from '@/util/format'
import type { Look } from './project-state'

export interface Words {
  text: string
  tone: 'plain' | 'good' | 'bad' | 'ask'
}

const plain = (text: string): Words => ({ text, tone: 'plain' })
const good = (text: string): Words => ({ text, tone: 'good' })
const bad = (text: string): Words => ({ text, tone: 'bad' })
const ask = (text: string): Words => ({ text, tone: 'ask' })

const PHASES: Record<RunPhase, string> = {
  plan: 'Planning',
  build: 'Building',
  commit: 'Committing',
  over: 'Ending',
}

const WAITS: Record<WaitsFor, Look> = {
  approval: { shape: 'ask', tone: 'amber', word: 'Needs you' },
  answer: { shape: 'ask', tone: 'amber', word: 'Needs you' },
  machine: { shape: 'ask', tone: 'amber', word: 'Needs you' },
  host: { shape: 'half', tone: 'amber', word: 'Waits' },
  provider: { shape: 'half', tone: 'amber', word: 'Waits' },
}

/** Whether it waits for a person, not for something that comes back by itself. */
export function needsPerson({ waitsFor }: Pick<Run, 'waitsFor'>): boolean {
  return waitsFor !== null && WAITS[waitsFor].shape === 'ask'
}

/** How it stands: a glyph and a word. */
export function runLook({
  status,
  phase,
  waitsFor,
  meta,
}: Pick<Run, 'status' | 'phase' | 'waitsFor'> & { meta: Pick<Run['meta'], 'attempt'> }): Look {
  switch (status) {
    case 'queued':
      return { shape: 'ring', tone: 'quiet', word: meta.attempt > 0 ? 'Tries again' : 'Queued' }
    case 'running':
      return waitsFor
        ? WAITS[waitsFor]
        : { shape: 'disc', tone: 'moss', word: PHASES[phase], pulse: true }
    case 'completed':
      return { shape: 'tick', tone: 'moss', word: 'Done' }
    case 'error':
      return { shape: 'cross', tone: 'red', word: 'Failed' }
    case 'cancelled':
      return { shape: 'square', tone: 'quiet', word: 'Cancelled' }
    default:
      return { shape: 'dot', tone: 'quiet', word: status }
  }
}

/** `US$ 1.20`, or nothing: what is not known is not zero. */
export function runCost(cost: RunCost | null): string | null {
  if (!cost) return null
  const { currency, estimatedUsd } = cost
  return currency === 'USD' ? money(estimatedUsd) : `${currency} ${estimatedUsd.toFixed(2)}`
}

/** How long it took, or has taken so far; null before it began. */
export function runTook(
  { startedAt, completedAt, status }: Pick<Run, 'startedAt' | 'completedAt' | 'status'>,
  now: number,
): number | null {
  const end = completedAt ? momentOf(completedAt) : isOver({ status }) ? Number.NaN : now
  const took = end - momentOf(startedAt)
  return Number.isFinite(took) ? Math.max(0, took) : null
}

/** `9b7de01`. */
const shortCommit = (sha: string) => sha.slice(0, 7)

const UNCOMMITTED: Record<string, string> = {
  disabled: 'Nothing was committed: that is switched off',
  not_git_repo: 'Nothing was committed: the project is no git repository',
  no_changes: 'Nothing was committed: nothing has changed',
}

function uncommitted(reason: string): string {
  return UNCOMMITTED[reason] ?? `Nothing was committed: ${reason.replaceAll('_', ' ')}`
}

/** A step of a run, for the project's log. */
export function stepWords({ phase, waitsFor, commit, status, error }: RunStep): Words {
  switch (status) {
    case 'completed':
      if (commit?.result === 'made') {
        return good(`A run is done, committed as ${shortCommit(commit.commitSha)}`)
      }
      return commit?.result === 'failed'
        ? bad(`A run is done, and was not committed: ${commit.error}`)
        : good('A run is done')
    case 'error':
      return bad(`A run failed${error ? `: ${error}` : ''}`)
    case 'cancelled':
      return plain('A run was cancelled')
    default:
  }
  if (waitsFor === 'approval') return { text: 'The plan of a run waits for you', tone: 'ask' }
  if (waitsFor === 'answer') return { text: 'A run waits for your answer', tone: 'ask' }
  if (waitsFor === 'machine') return ask('A run waits for its machine, which is stopped')
  if (waitsFor === 'host') return plain('A run waits for its host')
  if (waitsFor === 'provider') return plain('A run waits for its provider')
  switch (phase) {
    case 'plan':
      return plain('A run plans')
    case 'build':
      return plain('A run builds')
    case 'commit':
      return plain('A run commits what has changed')
    default:
      return plain('A run ends')
  }
}

/** A moment of a run, or null when there is nothing to say of it. */
export function momentWords(what: MomentRow['what']): Words | null {
  switch (what.kind) {
    case 'done':
      return good(what.durationMs === null ? 'Done' : `Done after ${duration(what.durationMs)}`)
    case 'error':
      return bad(`Failed, attempt ${what.attempts} of ${what.maxAttempts}`)
    default:
      return statusWords(what)
  }
}

/** Who is waited for from here on; null: nobody any more. */
function waitWords(what: WaitsFor | null): Words {
  switch (what) {
    case 'approval':
      return ask('The plan waits for you')
    case 'answer':
      return ask('Its agent asks you something')
    case 'machine':
      return ask('Its machine is stopped: start the project, and it goes on')
    case 'host':
      return plain('The host of its machine does not answer')
    case 'provider':
      return plain('The provider does not answer, and is asked again')
    default:
      return plain('Goes on')
  }
}

function statusWords(told: StatusTold): Words | null {
  const why = told.error ? `: ${told.error}` : ''
  switch (told.status) {
    case 'queued':
      return plain('Queued')
    case 'running':
      return plain((told.attempt ?? 1) > 1 ? `Begun, attempt ${told.attempt}` : 'Begun')
    case 'cancelled':
      return plain('Cancelled')
    case 'phase_started':
      return plain(told.phase === 'plan' ? 'Plans' : 'Builds')
    // What begins next says it.
    case 'phase_completed':
    case 'phase_transition':
      return null
    case 'plan_ready':
      return plain('The plan is made')
    case 'plan_policy_warning':
      return bad(`Refused while it plans: ${[told.tool, told.detail].filter(Boolean).join(', ')}`)
    case 'model_resolved':
      return plain(`${told.provider} / ${told.model} answers`)
    case 'sandbox_created':
      return plain(`The machine is the sandbox ${told.sandboxId}`)
    case 'waiting':
      return waitWords(told.waitsFor ?? null)
    case 'waiting_host':
      return waitWords('host')
    case 'host_back':
      return plain('The host of its machine answers again')
    case 'workspace_moving':
      return plain(`The project moves from ${told.from} to ${told.to}`)
    case 'workspace_moved':
      return plain(`The project moved from ${told.from} to ${told.to}`)
    case 'message_restarted':
      return bad(
        `An answer broke off and is asked for again${told.reason ? `: ${told.reason}` : ''}`,
      )
    case 'auto_lint_started':
      return plain(`The check runs: ${told.cmd}`)
    case 'auto_lint_fix_attempt':
      return bad(`The check fails, and is mended: attempt ${told.attempt}`)
    case 'auto_lint_passed':
      return good('The check passed')
    case 'auto_lint_failed':
      return bad(`The check fails${why}`)
    case 'rollback_snapshot':
    case 'sandbox_snapshot':
      return told.fileCount ? plain(`Changed ${plural(told.fileCount, 'file')}`) : null
    case 'git_commit':
      return good(`Committed as ${shortCommit(told.commitSha ?? '')}`)
    case 'git_commit_error':
      return bad(`Not committed${why}`)
    case 'git_commit_skipped':
      return plain(uncommitted(told.reason ?? 'no reason given'))
    case 'workspace_snapshot_stored':
      return plain(
        `The workspace is kept: ${plural(told.fileCount ?? 0, 'file')}, ${bytes(told.sizeBytes ?? 0)}`,
      )
    case 'workspace_snapshot_store_failed':
      return bad(`The workspace could not be kept${why}`)
    case 'attempt_failed':
      return bad(`Attempt ${told.attempts} of ${told.maxAttempts} failed${why}`)
    case 'retrying':
      return plain(`Tries again in ${told.backoffSeconds} s`)
    default:
      // One that this page does not know yet.
      return plain(told.status.replaceAll('_', ' '))
  }
}

const CHANGES: readonly (readonly [FileVerb, string])[] = [
  ['write', 'written'],
  ['edit', 'edited'],
]

/** `written, edited 3 times`; empty when it was only looked at. */
export function touchedWords(touched: Touched): string {
  return CHANGES.filter(([verb]) => touched[verb])
    .map(([verb, word]) => {
      const times = touched[verb] ?? 0
      return times > 1 ? `${word} ${times} times` : word
    })
    .join(', ')
}
