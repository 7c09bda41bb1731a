// One row of the document. Drawn again only when the row itself changed.
import { memo } from 'react'
import type { Row } from '@/api/transcript/types'
import { cx } from '@/util/class'
import { AnswerText } from './answer-text'
import { CallQuestion } from './call-question'
import { ErrorRowView } from './error-row'
import { MarkerRowView } from './marker-row'
import { PlanRowView } from './plan-row'
import { QuestionRow } from './question-row'
import { TallyRowView } from './tally-row'
import { SecretsRow } from './secrets-row'
import { DemoRow, NoteRowView, SummaryRow, ThinkingRow } from './small-rows'
import { TaskRow } from './task-row'
import { ToolRowView } from './tool-row'
import { UserRowView } from './user-row'

interface Props {
  row: Row
  /** The kind above: rows of one kind stand closer. */
  before: Row['kind'] | null
  open: boolean
  quiet: boolean
  /** Whether this row may still be acted on. */
  live: boolean
  sessionId: string
  onToggle: (id: string, open: boolean) => void
  /** Null: nothing here is asked again or changed. */
  onRetry: (() => void) | null
}

const TIGHT = new Set<Row['kind']>(['tool', 'thinking', 'note', 'demo'])

function spacing(kind: Row['kind'], before: Row['kind'] | null): string {
  if (before === null) return ''
  if (kind === 'user') return 'pt-7'
  if (kind === 'marker') return 'pt-5'
  if (TIGHT.has(kind) && TIGHT.has(before)) return ''
  return 'pt-3'
}

const commandIn = (input: Record<string, unknown> | null): string | undefined =>
  typeof input?.command === 'string' ? input.command : undefined

export const RowView = memo(function RowView(props: Props) {
  return <div className={cx(spacing(props.row.kind, props.before))}>{body(props)}</div>
})

function body({ row, open, quiet, live, sessionId, onToggle, onRetry }: Props) {
  switch (row.kind) {
    case 'user':
      return (
        <UserRowView
          row={row}
          sessionId={sessionId}
          fixed={onRetry === null}
          open={open}
          onToggle={onToggle}
        />
      )
    case 'text':
      return <AnswerText row={row} />
    case 'thinking':
      return <ThinkingRow row={row} open={open} onToggle={onToggle} />
    case 'tool':
      if (row.name === 'ask_secrets' || row.question?.secrets?.length) {
        return <SecretsRow row={row} sessionId={sessionId} />
      }
      if (row.name === 'task') {
        return (
          <TaskRow row={row} open={open} quiet={quiet} sessionId={sessionId} onToggle={onToggle} />
        )
      }
      if (row.question?.kind) {
        return (
          <>
            <ToolRowView row={row} open={open} quiet={quiet} onToggle={onToggle} />
            <CallQuestion
              key={row.question.id ?? row.callId}
              question={row.question}
              command={row.name === 'bash' ? commandIn(row.input) : undefined}
              sessionId={sessionId}
            />
          </>
        )
      }
      return row.question || row.name === 'ask' ? (
        <QuestionRow row={row} sessionId={sessionId} />
      ) : (
        <ToolRowView row={row} open={open} quiet={quiet} onToggle={onToggle} />
      )
    case 'plan':
      return <PlanRowView row={row} live={live} sessionId={sessionId} />
    case 'error':
      return <ErrorRowView row={row} live={live} onRetry={onRetry} />
    case 'tally':
      return (
        <TallyRowView
          row={row}
          open={open}
          sessionId={sessionId}
          fixed={onRetry === null}
          onToggle={onToggle}
        />
      )
    case 'summary':
      return <SummaryRow row={row} open={open} onToggle={onToggle} />
    case 'marker':
      return <MarkerRowView row={row} live={live} />
    case 'note':
      return <NoteRowView row={row} open={open} onToggle={onToggle} />
    case 'demo':
      return <DemoRow row={row} />
    default:
      return null
  }
}
