// One row of the document. Drawn again only when the row itself changed.
import { memo } from 'react'
import type { Row } from '@/api/transcript/types'
import { Prose } from '@/components/prose'
import { cx } from '@/util/class'
import { ErrorRowView } from './error-row'
import { MarkerRowView } from './marker-row'
import { QuestionRow } from './question-row'
import { ReceiptRowView } from './receipt-row'
import { SecretsRow } from './secrets-row'
import { DemoRow, NoteRowView, SummaryRow, ThinkingRow } from './small-rows'
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
  onRetry: () => void
}

const TIGHT = new Set<Row['kind']>(['tool', 'thinking', 'note', 'demo'])

function spacing(kind: Row['kind'], before: Row['kind'] | null): string {
  if (before === null) return ''
  if (kind === 'user') return 'pt-7'
  if (kind === 'marker') return 'pt-5'
  if (TIGHT.has(kind) && TIGHT.has(before)) return ''
  return 'pt-3'
}

export const RowView = memo(function RowView(props: Props) {
  return <div className={cx(spacing(props.row.kind, props.before))}>{body(props)}</div>
})

function body({ row, open, quiet, live, sessionId, onToggle, onRetry }: Props) {
  switch (row.kind) {
    case 'user':
      return <UserRowView row={row} sessionId={sessionId} />
    case 'text':
      return <Prose text={row.text} />
    case 'thinking':
      return <ThinkingRow row={row} open={open} onToggle={onToggle} />
    case 'tool':
      if (row.name === 'ask_secrets' || row.question?.secrets?.length) {
        return <SecretsRow row={row} sessionId={sessionId} />
      }
      return row.question || row.name === 'ask' ? (
        <QuestionRow row={row} sessionId={sessionId} />
      ) : (
        <ToolRowView row={row} open={open} quiet={quiet} onToggle={onToggle} />
      )
    case 'error':
      return <ErrorRowView row={row} live={live} onRetry={onRetry} />
    case 'receipt':
      return <ReceiptRowView row={row} open={open} onToggle={onToggle} />
    case 'summary':
      return <SummaryRow row={row} open={open} onToggle={onToggle} />
    case 'marker':
      return <MarkerRowView row={row} live={live} />
    case 'note':
      return <NoteRowView row={row} />
    case 'demo':
      return <DemoRow row={row} />
    default:
      return null
  }
}
