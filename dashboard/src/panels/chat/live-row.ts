// Which rows of the document can still be acted on while nothing goes on.
import type { Row } from '@/api/transcript/types'

/** Only what stands at the very end can be asked again. */
export function lastOf(rows: readonly Row[]): Row | undefined {
  return rows.findLast((row) => row.kind !== 'tally' && row.kind !== 'note')
}

/** A plan waits for as long as it says so: a summary or a marker below it decides nothing. */
export function isLive(row: Row, last: Row | undefined): boolean {
  return row.kind === 'plan' || row === last
}
