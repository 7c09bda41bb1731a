// A tool call in words: verb, object, result. One line that says what happened without opening it.
import type { Block, TodoItem, Usage } from '@/api/bridge-types'
import { todosIn } from '@/api/transcript/plan'
import type { ToolRow } from '@/api/transcript/types'
import { bytes, money, plural } from '@/util/format'
import { diffOf, diffCounts } from '@/components/diff-lines'

export interface ToolWords {
  /** `Ran` */
  did: string
  /** `Running` */
  doing: string
  object: string
  /** Whether the object is code or a path. */
  mono: boolean
  result: string
}

const VERBS: Record<string, readonly [string, string]> = {
  bash: ['Ran', 'Running'],
  read: ['Read', 'Reading'],
  write: ['Wrote', 'Writing'],
  edit: ['Edited', 'Editing'],
  grep: ['Searched', 'Searching'],
  find: ['Found', 'Finding'],
  ls: ['Listed', 'Listing'],
  notify_dashboard: ['Told you', 'Telling you'],
  ask: ['Asked', 'Asking'],
  todo: ['Steps', 'Noting the steps'],
  apply_patch: ['Patched', 'Patching'],
  web_fetch: ['Fetched', 'Fetching'],
  task: ['Delegated', 'Delegating'],
}

const PROCESS_VERBS: Record<string, readonly [string, string]> = {
  list: ['Listed', 'Listing'],
  output: ['Read the output of', 'Reading the output of'],
  input: ['Wrote to', 'Writing to'],
  kill: ['Ended', 'Ending'],
}

const OBJECT_CHARS_MAX = 300

export function toolWords(row: ToolRow): ToolWords {
  const input = row.input ?? partialInput(row.inputText)
  const verbs = row.name === 'process' ? PROCESS_VERBS[text(input.action)] : VERBS[row.name]
  const [done, doing] = verbs ?? [row.name, row.name]
  const { denied, doubt } = detailsOf(row)
  const did = denied === true ? 'Not allowed' : doubt === true ? 'Not run again' : done
  const { object, mono } = objectOf(row, input)
  return { did, doing, object: oneLine(object), mono, result: resultOf(row) }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function objectOf(row: ToolRow, input: Record<string, unknown>): { object: string; mono: boolean } {
  const { name } = row
  switch (name) {
    case 'todo':
      return { object: stepNow(todosIn(row.details) ?? todosIn(input)), mono: false }
    case 'apply_patch': {
      const paths = patchedFiles(row, input)
      return paths.length > 1
        ? { object: plural(paths.length, 'file'), mono: false }
        : { object: paths[0] ?? '', mono: true }
    }
    case 'web_fetch':
      return { object: text(input.url), mono: true }
    case 'task':
      return { object: text(input.description), mono: false }
    case 'process':
      return text(input.action) === 'list'
        ? { object: 'what runs in the background', mono: false }
        : { object: text(input.id), mono: true }
    case 'bash':
      return { object: text(input.command), mono: true }
    case 'read':
    case 'write':
    case 'edit':
    case 'ls':
      return { object: text(input.path) || (name === 'ls' ? 'the project' : ''), mono: true }
    case 'grep':
    case 'find': {
      const where = text(input.path)
      return { object: text(input.pattern) + (where ? ` in ${where}` : ''), mono: true }
    }
    case 'notify_dashboard':
      return { object: text(input.message), mono: false }
    case 'ask':
      return { object: text(input.question), mono: false }
    default:
      return { object: Object.keys(input).length > 0 ? JSON.stringify(input) : '', mono: true }
  }
}

/** The step that is worked on; before and after that how many there are. */
function stepNow(todos: readonly TodoItem[] | null): string {
  if (!todos || todos.length === 0) return ''
  const now = todos.find((item) => item.status === 'in_progress')
  return now ? now.content : plural(todos.length, 'step')
}

const PATCHED = /^\*\*\* (?:Add|Update|Delete) File: (.+)$/gm

/** The files of a patch: as the result has them, else as the patch names them. */
function patchedFiles(row: ToolRow, input: Record<string, unknown>): string[] {
  const { files } = detailsOf(row)
  if (Array.isArray(files)) return files.map((file) => text((file as { path?: unknown }).path))
  return [...text(input.input).matchAll(PATCHED)].map(([, path]) => (path ?? '').trim())
}

/** What can be told of arguments that are still being written: the first string of each name. */
function partialInput(json: string): Record<string, unknown> {
  const input: Record<string, unknown> = {}
  for (const [, key, value] of json.matchAll(/"(\w+)"\s*:\s*"((?:[^"\\]|\\.)*)"?/g)) {
    if (key && value !== undefined) {
      input[key] = value.replaceAll('\\n', '\n').replaceAll('\\"', '"').replaceAll('\\\\', '\\')
    }
  }
  return input
}

function oneLine(object: string): string {
  const line = object.replaceAll(/\s+/g, ' ').trim()
  return line.length > OBJECT_CHARS_MAX ? `${line.slice(0, OBJECT_CHARS_MAX)}…` : line
}

/** The text of a result. */
export function resultText(blocks: readonly Block[] | null): string {
  return (blocks ?? [])
    .filter((block) => block.type === 'text')
    .map((block) => block.text)
    .join('\n')
}

function resultOf(row: ToolRow): string {
  if (row.state === 'cut') return 'stopped'
  if (!row.result) return ''
  const all = resultText(row.result)
  const details = detailsOf(row)
  if (row.name === 'bash' && row.state !== 'running') {
    if (details.cancelled === true) return 'stopped'
    if (details.background === true) return 'in the background'
    if (typeof details.signal === 'number') return `signal ${details.signal}`
    if (typeof details.exitCode === 'number' && details.exitCode !== 0) {
      return `exit ${details.exitCode}`
    }
  }
  if (details.denied === true || details.doubt === true) return ''
  if (details.reason === 'aborted') return 'stopped'
  if (row.state === 'failed') return oneLine(all.split('\n', 1)[0] ?? '') || 'failed'
  switch (row.name) {
    case 'bash':
      return lineCount(all) > 0 ? plural(lineCount(all), 'line') : 'no output'
    case 'read':
      return plural(lineCount(all), 'line')
    case 'write':
      return (
        changeCounts(row) ??
        (text(row.input?.content) ? plural(lineCount(text(row.input?.content)), 'line') : '')
      )
    case 'edit':
    case 'apply_patch':
      return changeCounts(row) ?? ''
    case 'todo': {
      const todos = todosIn(row.details) ?? []
      const done = todos.filter((item) => item.status === 'completed').length
      return todos.length > 0 ? `${done} of ${todos.length} done` : 'none'
    }
    case 'web_fetch':
      return typeof details.bytes === 'number' ? bytes(details.bytes) : ''
    case 'process':
      return details.running === true ? 'still runs' : ''
    case 'task':
      return taskResult(details)
    case 'grep':
      return lineCount(all) > 0 ? plural(lineCount(all), 'line') : 'nothing'
    case 'find':
      return plural(lineCount(all), 'path')
    case 'ls':
      return plural(lineCount(all), 'entry', 'entries')
    default:
      return ''
  }
}

function taskResult({ tools, usage }: Record<string, unknown>): string {
  const total = (usage as Usage | undefined)?.cost?.total
  return [
    typeof tools === 'number' && tools > 0 ? plural(tools, 'tool call') : null,
    total === undefined ? null : money(total),
  ]
    .filter((part) => part !== null)
    .join(' · ')
}

/** The structured facts of a call; an empty object when it has none. */
export function detailsOf(row: ToolRow): Record<string, unknown> {
  return typeof row.details === 'object' && row.details !== null
    ? (row.details as Record<string, unknown>)
    : {}
}

function lineCount(words: string): number {
  return words ? words.replace(/\n$/, '').split('\n').length : 0
}

/** Lines added and removed: as the tool counted them, else as its diff shows. */
function changeCounts(row: ToolRow): string | null {
  const { addedLines, removedLines } = detailsOf(row)
  if (typeof addedLines === 'number' && typeof removedLines === 'number') {
    return removedLines > 0 || row.name !== 'write'
      ? `+${addedLines} −${removedLines}`
      : plural(addedLines, 'line')
  }
  const diff = diffOf(row.details)
  if (!diff) return null
  const { added, removed } = diffCounts(diff)
  return `+${added} −${removed}`
}
