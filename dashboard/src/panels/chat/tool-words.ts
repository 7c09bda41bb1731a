// A tool call in words: verb, object, result. One line that says what happened without opening it.
import type { Block } from '@/api/bridge-types'
import type { ToolRow } from '@/api/transcript/types'
import { plural } from '@/util/format'
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
}

const OBJECT_CHARS_MAX = 300

export function toolWords(row: ToolRow): ToolWords {
  const [did, doing] = VERBS[row.name] ?? [row.name, row.name]
  const input = row.input ?? partialInput(row.inputText)
  const { object, mono } = objectOf(row.name, input)
  return { did, doing, object: oneLine(object), mono, result: resultOf(row) }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function objectOf(name: string, input: Record<string, unknown>): { object: string; mono: boolean } {
  switch (name) {
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
      return changeCounts(row) ?? ''
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
    return removedLines > 0 || row.name === 'edit'
      ? `+${addedLines} −${removedLines}`
      : plural(addedLines, 'line')
  }
  const diff = diffOf(row.details)
  if (!diff) return null
  const { added, removed } = diffCounts(diff)
  return `+${added} −${removed}`
}
