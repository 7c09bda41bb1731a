// What a run did, as its events tell it: rows in their order, its plan, the files that it touched. Pure, so
// that a test can replay any run. Bounded: the run's conversation has all of it.
import type { Plan } from '../bridge-types'
import { newTool } from '../transcript/rows'
import type { TextRow, ToolRow } from '../transcript/types'
import { isLast, type FileVerb, type RunEvent, type StatusTold } from './events'

/** The oldest rows go first. */
const ROWS_MAX = 2000
/** A longer text keeps its end, as does the output of a tool that runs. */
const TEXT_CHARS_MAX = 100_000
const OUTPUT_CHARS_MAX = 64 * 1024
/** A longer string among what a tool was given keeps its beginning. */
const INPUT_CHARS_MAX = 20_000
/** Paths that are remembered. */
const PATHS_MAX = 1000

/** A moment of the run. */
export interface MomentRow {
  kind: 'moment'
  id: string
  at: number
  what:
    | ({ kind: 'status' } & StatusTold)
    | { kind: 'done'; durationMs: number | null }
    | { kind: 'error'; error: string; attempts: number; maxAttempts: number }
}

export type CourseRow = TextRow | ToolRow | MomentRow

/** What was done to a path, and how often. */
export type Touched = Partial<Record<FileVerb, number>>

/** Only ever replaced, never changed. */
export interface Course {
  /** The last event in it. */
  seq: number
  rows: readonly CourseRow[]
  /** Rows that are kept no more. */
  left: number
  plan: Plan | null
  /** By path; an empty one is the project's folder. */
  files: ReadonlyMap<string, Touched>
  /** Paths beyond those. */
  morePaths: boolean
  isOver: boolean
}

export const NO_COURSE: Course = {
  seq: 0,
  rows: [],
  left: 0,
  plan: null,
  files: new Map(),
  morePaths: false,
  isOver: false,
}

/** What is added to while events are taken in, then frozen into the next course. */
type Draft = Omit<Course, 'rows' | 'files'> & { rows: CourseRow[]; files: Map<string, Touched> }

/** The course after these events; those that are in it already change nothing. */
export function follow(course: Course, events: readonly RunEvent[]): Course {
  const news = events.filter(({ seq }) => seq > course.seq)
  if (news.length === 0) return course
  const draft: Draft = { ...course, rows: [...course.rows], files: new Map(course.files) }
  for (const event of news) {
    take(draft, event)
    draft.seq = event.seq
    if (isLast(event)) draft.isOver = true
  }
  const over = draft.rows.length - ROWS_MAX
  if (over > 0) {
    draft.rows = draft.rows.slice(over)
    draft.left += over
  }
  return draft
}

function take(draft: Draft, event: RunEvent): void {
  switch (event.kind) {
    case 'token':
      say(draft, event.seq, event.data.token)
      return
    case 'file_op':
      touch(draft, event.data.path ?? '', event.data.op)
      return
    case 'tool':
      call(draft, event)
      return
    case 'status':
      status(draft, event.seq, event.at, event.data)
      return
    case 'done':
    case 'error':
      still(draft)
      stop(draft)
      draft.rows.push({
        kind: 'moment',
        id: `e${event.seq}`,
        at: event.at,
        what:
          event.kind === 'done'
            ? { kind: 'done', durationMs: event.data.durationMs }
            : { kind: 'error', ...event.data },
      })
      return
    default:
  }
}

/** Tokens go on with the text that is being said. */
function say(draft: Draft, seq: number, token: string): void {
  const last = draft.rows.at(-1)
  if (last?.kind === 'text' && last.streaming) {
    const text = last.text + token
    const cut = text.length > TEXT_CHARS_MAX ? `…${text.slice(-TEXT_CHARS_MAX)}` : text
    draft.rows[draft.rows.length - 1] = { ...last, text: cut }
  } else {
    const id = `e${seq}`
    draft.rows.push({ kind: 'text', id, messageId: id, text: token, streaming: true })
  }
}

/** What was being said is whole. */
function still(draft: Draft): void {
  const last = draft.rows.at(-1)
  if (last?.kind !== 'text' || !last.streaming) return
  draft.rows[draft.rows.length - 1] = { ...last, streaming: false }
}

/** The plan stands above, so the JSON that it was read from is not shown. */
function plannedIn(draft: Draft): void {
  const place = draft.rows.findLastIndex(({ kind }) => kind !== 'moment')
  const row = draft.rows[place]
  if (row?.kind === 'text') draft.rows[place] = { ...row, planned: true }
}

/** Calls that nobody will hear of again. */
function stop(draft: Draft): void {
  draft.rows = draft.rows.map((row) =>
    row.kind === 'tool' && row.state === 'running' ? { ...row, state: 'cut' } : row,
  )
}

function touch(draft: Draft, path: string, op: FileVerb): void {
  const before = draft.files.get(path)
  if (!before && draft.files.size >= PATHS_MAX) draft.morePaths = true
  else draft.files.set(path, { ...before, [op]: (before?.[op] ?? 0) + 1 })
}

function call(draft: Draft, { seq, at, data }: Extract<RunEvent, { kind: 'tool' }>): void {
  still(draft)
  const place = draft.rows.findLastIndex((row) => row.kind === 'tool' && row.callId === data.runId)
  const known = draft.rows[place]
  const row = known?.kind === 'tool' ? known : newTool('', `e${seq}`, data.runId, data.tool)
  const next = called(row, at, data)
  if (place < 0) draft.rows.push(next)
  else draft.rows[place] = next
}

function called(
  row: ToolRow,
  at: number,
  data: Extract<RunEvent, { kind: 'tool' }>['data'],
): ToolRow {
  switch (data.phase) {
    case 'start':
      return { ...row, state: 'running', startedAt: at, input: bounded(data.input ?? {}) }
    case 'stream': {
      const output = row.output + data.chunk
      return {
        ...row,
        state: 'running',
        output: output.length > OUTPUT_CHARS_MAX ? output.slice(-OUTPUT_CHARS_MAX) : output,
      }
    }
    default: {
      const text = data.phase === 'end' ? data.output : data.error
      return {
        ...row,
        state: data.phase === 'end' ? 'done' : 'failed',
        output: '',
        result: [{ type: 'text', text }],
        durationMs: data.durationMs ?? null,
      }
    }
  }
}

/** What a tool was given, without what nobody reads to its end. */
function bounded(input: Record<string, unknown>): Record<string, unknown> {
  const cut = (_: string, value: unknown) =>
    typeof value === 'string' && value.length > INPUT_CHARS_MAX
      ? `${value.slice(0, INPUT_CHARS_MAX)}…`
      : value
  return JSON.parse(JSON.stringify(input, cut)) as Record<string, unknown>
}

function status(draft: Draft, seq: number, at: number, data: StatusTold): void {
  const { todos, touchedFiles, ...rest } = data
  if (data.status === 'message_restarted') {
    // Its pieces are void: they are said again.
    const last = draft.rows.at(-1)
    if (last?.kind === 'text' && last.streaming) draft.rows.pop()
  } else if (data.status === 'plan_ready') {
    still(draft)
    plannedIn(draft)
    draft.plan = { summary: data.summary ?? '', todos: todos ?? [] }
  } else still(draft)
  if (data.status === 'attempt_failed' || data.status === 'cancelled') stop(draft)
  draft.rows.push({
    kind: 'moment',
    id: `e${seq}`,
    at,
    what: {
      kind: 'status',
      ...rest,
      // How many is all that is told of them.
      ...(touchedFiles ? { fileCount: touchedFiles.length } : {}),
    },
  })
}
