// Runs side by side, in words: how a comparison stands, what its candidates have in common.
import type { Candidate, CandidateDiff, Comparison } from '@/api/runs/comparisons'
import { isOver, type RunCost } from '@/api/runs/types'
import { plural } from '@/util/format'
import type { Look } from './project-state'
import { needsPerson, runLook } from './run-words'

/** How it stands: a glyph and a word. */
export function comparisonLook({ status, candidates }: Comparison): Look {
  switch (status) {
    case 'making':
      return { shape: 'half', tone: 'moss', word: 'Makes copies', pulse: true }
    case 'open': {
      const works = candidates.filter(({ run }) => run && !isOver(run))
      if (works.some(({ run }) => run && needsPerson(run))) {
        return { shape: 'ask', tone: 'amber', word: 'Needs you' }
      }
      return works.length > 0
        ? {
            shape: 'disc',
            tone: 'moss',
            word: `${candidates.length - works.length} of ${candidates.length} done`,
            pulse: true,
          }
        : { shape: 'ask', tone: 'amber', word: 'Keep one' }
    }
    case 'keeping':
      return { shape: 'half', tone: 'moss', word: 'Takes one over', pulse: true }
    case 'dropping':
      return { shape: 'half', tone: 'quiet', word: 'Clears up', pulse: true }
    case 'kept':
      return {
        shape: 'tick',
        tone: 'moss',
        word: `Kept candidate ${candidates.find(({ kept }) => kept)?.number ?? ''}`.trim(),
      }
    case 'dropped':
      return { shape: 'square', tone: 'quiet', word: 'Dropped' }
    case 'failed':
      return { shape: 'cross', tone: 'red', word: 'Failed' }
    default:
      return { shape: 'dot', tone: 'quiet', word: status }
  }
}

/** How a candidate stands: by its run, or by what is left of it. */
export function candidateLook({ run, outcome, projectId }: Candidate, status: string): Look {
  if (run) return runLook(run)
  if (outcome) {
    const { status: came } = outcome
    return runLook({ status: came, phase: 'over', waitsFor: null, meta: { attempt: 1 } })
  }
  if (status === 'making') {
    return { shape: 'half', tone: 'moss', word: 'Being made', pulse: true }
  }
  return projectId === null
    ? { shape: 'square', tone: 'quiet', word: 'Gone' }
    : { shape: 'ring', tone: 'quiet', word: 'Queued' }
}

/** Who answered, or is to. */
export function candidateModel({ run, outcome, provider, model }: Candidate): string | null {
  const named = run?.meta ?? outcome ?? { provider, model }
  return named.model ?? model ?? named.provider ?? null
}

export function candidateCost({ run, outcome }: Candidate): RunCost | null {
  return run?.cost ?? outcome?.cost ?? null
}

/** Agents work here. */
const HOME = '/home/project/'

/** Whether a path is of the project itself, and not git's own. */
export function isOwnPath(path: string): boolean {
  return path.startsWith(HOME) && !path.slice(HOME.length).split('/').includes('.git')
}

/** As people name it. */
export const shortPath = (path: string) => (path.startsWith(HOME) ? path.slice(HOME.length) : path)

/** Whether it is a file of the project whose content differs. Of one that was written anew as it was only the time is
 * another, and a folder has no lines: what is in it is told by itself. */
function isChanged({ path, kind, sizeBefore, sizeAfter, added, removed }: Change): boolean {
  const isFile = sizeBefore !== null || sizeAfter !== null
  return isFile && isOwnPath(path) && !(kind === 'modified' && added === 0 && removed === 0)
}

/** `3 files, +12 −4`. */
export function diffWords({ changes, added, removed }: CandidateDiff): string {
  const files = changes.filter((change) => isChanged(change)).length
  return files === 0
    ? 'no file of the project'
    : [plural(files, 'file'), linesWords(added, removed)].filter(Boolean).join(', ')
}

/** `+12 −4`, without what is none. */
function linesWords(added: number, removed: number): string {
  return [added > 0 && `+${added}`, removed > 0 && `−${removed}`].filter(Boolean).join(' ')
}

type Change = CandidateDiff['changes'][number]

export interface FileRow {
  path: string
  /** By the candidate's run: what it did to the file; nothing when it left it alone. */
  by: ReadonlyMap<string, Change>
}

/** Every file of the project that a candidate has changed, and how many other paths differ. */
export function fileRows(diffs: ReadonlyMap<string, CandidateDiff>): {
  rows: FileRow[]
  others: number
} {
  const rows = new Map<string, Map<string, Change>>()
  const others = new Set<string>()
  for (const [run, { changes }] of diffs) {
    for (const change of changes) {
      if (!isOwnPath(change.path)) others.add(change.path)
      if (!isChanged(change)) continue
      const by = rows.get(change.path) ?? new Map()
      rows.set(change.path, by.set(run, change))
    }
  }
  return {
    rows: [...rows]
      .map(([path, by]) => ({ path, by }))
      .toSorted((a, b) => (a.path < b.path ? -1 : 1)),
    others: others.size,
  }
}
