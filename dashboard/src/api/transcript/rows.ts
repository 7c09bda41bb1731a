// Messages to rows: what both the snapshot and the end of a streamed message make of a message.
import type {
  AssistantMessage,
  Block,
  CustomMessage,
  ToolResultMessage,
  Usage,
} from '../bridge-types'
import type { ErrorRow, Row, ToolRow } from './types'

/** All text of a user's content. */
export function textOf(content: string | readonly Block[]): string {
  if (typeof content === 'string') return content
  return content
    .filter((block) => block.type === 'text')
    .map((block) => block.text)
    .join('\n')
}

/** What is said beside people and models; an extension is named. */
export function noteOf({ content, customType, details }: CustomMessage): string {
  const text = textOf(content)
  if (customType !== 'toft.extension' || typeof details !== 'object' || details === null)
    return text
  return 'extension' in details ? `${String(details.extension)}: ${text}` : text
}

/** The images of a user's content. */
export function imagesOf(content: string | readonly Block[]) {
  return typeof content === 'string' ? [] : content.filter((block) => block.type === 'image')
}

/** A tool call that has only just been asked for. */
export function newTool(messageId: string, id: string, callId: string, name: string): ToolRow {
  return {
    kind: 'tool',
    id,
    messageId,
    callId,
    name,
    input: null,
    inputText: '',
    state: 'calling',
    output: '',
    result: null,
    details: undefined,
    durationMs: null,
    startedAt: null,
    question: null,
    child: null,
  }
}

/** The rows of a whole assistant message. Tool rows that already run keep what they know. */
export function assistantRows(
  messageId: string,
  message: AssistantMessage,
  known: readonly Row[] = [],
): Row[] {
  const rows: Row[] = []
  message.content.forEach((block, index) => {
    const id = `${messageId}:${index}`
    if (block.type === 'text') {
      if (block.text.trim()) rows.push(sameOr(known, textRow('text', id, messageId, block.text)))
    } else if (block.type === 'thinking') {
      const text = block.redacted ? 'The provider does not show this thinking.' : block.thinking
      if (text.trim()) rows.push(sameOr(known, textRow('thinking', id, messageId, text)))
    } else if (block.type === 'toolCall') {
      const old = known.find((row) => row.kind === 'tool' && row.callId === block.id) as
        | ToolRow
        | undefined
      rows.push({
        ...(old ?? newTool(messageId, id, block.id, block.name)),
        input: block.arguments,
        inputText: '',
      })
    }
  })
  const error = errorRow(messageId, message)
  if (error) rows.push(error)
  return rows
}

function textRow(kind: 'text' | 'thinking', id: string, messageId: string, text: string): Row {
  return { kind, id, messageId, text, streaming: false }
}

/** The known row when it already says the same, so that nothing is drawn again. */
function sameOr(known: readonly Row[], row: Row): Row {
  const old = known.find((each) => each.id === row.id)
  return old && old.kind === row.kind && JSON.stringify(old) === JSON.stringify(row) ? old : row
}

function errorRow(messageId: string, message: AssistantMessage): ErrorRow | null {
  if (message.stopReason !== 'error' && message.stopReason !== 'aborted') return null
  const aborted = message.stopReason === 'aborted'
  return {
    kind: 'error',
    id: `${messageId}:end`,
    messageId,
    aborted,
    model: message.model,
    text:
      message.errorMessage ?? (aborted ? 'Stopped.' : 'The model call failed without a reason.'),
  }
}

/** A tool row with its result. */
export function withResult(
  row: ToolRow,
  result: Pick<ToolResultMessage, 'content' | 'details'>,
  isError: boolean,
  durationMs: number | null,
): ToolRow {
  return {
    ...row,
    state: isError ? 'failed' : 'done',
    result: result.content,
    details: result.details,
    durationMs: durationMs ?? row.durationMs,
    output: '',
    child: childIn(row.name, result.details) ?? row.child,
  }
}

/** The conversation of a task that has ended. */
function childIn(tool: string, details: unknown): string | null {
  if (tool !== 'task' || typeof details !== 'object' || details === null) return null
  return 'sessionId' in details && typeof details.sessionId === 'string' ? details.sessionId : null
}

export const NO_USAGE: Usage = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, totalTokens: 0 }

/** Sum of two usages; money only when both sides know it or have no tokens. */
export function addUsage(a: Usage, b: Usage): Usage {
  const sum: Usage = {
    input: a.input + b.input,
    output: a.output + b.output,
    cacheRead: a.cacheRead + b.cacheRead,
    cacheWrite: a.cacheWrite + b.cacheWrite,
    totalTokens: a.totalTokens + b.totalTokens,
  }
  const unknown = (u: Usage) => u.cost === undefined && u.totalTokens > 0
  if (!unknown(a) && !unknown(b) && (a.cost ?? b.cost)) {
    sum.cost = { total: (a.cost?.total ?? 0) + (b.cost?.total ?? 0) }
  }
  return sum
}
