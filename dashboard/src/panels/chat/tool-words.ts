// A tool call in words: verb, object, result. One line that says what happened without opening it.
import type { Block } from '@/api/bridge-types'
import type { ToolRow } from '@/api/transcript/types'
import { plural } from '@/util/format'
import { diffOf, diffCounts } from './diff-lines'

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
  const details = (typeof row.details === 'object' ? row.details : null) as Record<
    string,
    unknown
  > | null
  const exit = details?.exitCode ?? details?.exit_code
  if (row.name === 'bash' && typeof exit === 'number' && exit !== 0) return `exit ${exit}`
  if (row.state === 'failed') return oneLine(all.split('\n', 1)[0] ?? '') || 'failed'
  const lines = all ? all.replace(/\n$/, '').split('\n').length : 0
  switch (row.name) {
    case 'bash':
      return lines > 0 ? plural(lines, 'line') : 'no output'
    case 'read':
      return plural(lines, 'line')
    case 'write': {
      const content = text(row.input?.content)
      return content ? plural(content.replace(/\n$/, '').split('\n').length, 'line') : ''
    }
    case 'edit': {
      const diff = diffOf(row.details)
      if (!diff) return ''
      const { added, removed } = diffCounts(diff)
      return `+${added} −${removed}`
    }
    case 'grep':
      return lines > 0 ? plural(lines, 'line') : 'nothing'
    case 'find':
      return plural(lines, 'path')
    case 'ls':
      return plural(lines, 'entry', 'entries')
    default:
      return ''
  }
}
