// What models were asked over some days: the sum, each day, and what it went to.
import { useQuery } from '@tanstack/react-query'
import { useState, type ReactNode } from 'react'
import { wordsOf } from '@/api/http'
import type { Usage, UsageBy, UsageRow } from '@/api/usage'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Segments } from '@/ui/field'
import { Failure, Skeleton, Strip } from '@/ui/state'
import { useNow } from '@/ui/time'
import { plural } from '@/util/format'
import { DayBars } from './day-bars'
import {
  callWords,
  costWords,
  firstDay,
  rowName,
  SPANS,
  tokenWords,
  type Span,
} from './usage-words'

const SPAN_OPTIONS = SPANS.map((span) => ({ value: String(span), label: `${span} days` }))

export function UsageView({
  project,
  ways,
  link,
  empty,
}: {
  /** Null for all. */
  project: string | null
  /** How it can be added up; the first one is shown first. */
  ways: readonly { value: UsageBy; label: string }[]
  /** A row's name as something to press, where there is something to see. */
  link: (row: UsageRow, name: string) => ReactNode
  empty: ReactNode
}) {
  const now = useNow()
  const [span, setSpan] = useState<Span>(30)
  const [by, setBy] = useState<UsageBy>(ways[0]?.value ?? 'model')
  const from = firstDay(span, now)
  const days = useQuery(queries.usage(project, 'day', from))
  const rows = useQuery(queries.usage(project, by, from))

  if (days.isPending) return <Skeleton words="Adding up…" />
  if (!days.data) {
    return (
      <Failure
        compact
        title="The cost could not be read"
        message={wordsOf(days.error)}
        kept="Calls go on being written down."
        action={<Button onClick={() => void days.refetch()}>Try again</Button>}
      />
    )
  }
  const { total } = days.data
  return (
    <div className="flex flex-col gap-4">
      {days.error && <Strip tone="amber">Not read anew: {wordsOf(days.error)}</Strip>}
      <div className="flex flex-wrap items-start justify-between gap-x-4 gap-y-3">
        <div>
          <div className="tnum text-lg font-semibold">{costWords(total)}</div>
          <div className="tnum text-ink-2">
            {callWords(total)}
            {total.calls > 0 && `. Tokens: ${tokenWords(total)}`}
          </div>
        </div>
        <Segments
          label="Days"
          value={String(span)}
          options={SPAN_OPTIONS}
          onChange={(value) => setSpan(SPANS.find((each) => String(each) === value) ?? span)}
        />
      </div>
      {total.calls === 0 ? (
        <div className="max-w-[64ch] text-pretty text-ink-2">{empty}</div>
      ) : (
        <>
          <DayBars usage={days.data} />
          <div>
            <Segments label="Added up by" value={by} options={ways} onChange={setBy} />
          </div>
          {rows.data ? (
            <Rows usage={rows.data} link={link} />
          ) : rows.error ? (
            <Failure compact title="It could not be added up so" message={wordsOf(rows.error)} />
          ) : (
            <Skeleton />
          )}
          <p className="text-sm text-pretty text-ink-3">
            Tokens as the providers reported them, prices as the catalogue had them when the call
            was made; days are those of UTC.
            {total.unpriced > 0 &&
              ` The cost of ${plural(total.unpriced, 'call')} is not known, and in no sum.`}
          </p>
        </>
      )}
    </div>
  )
}

function Rows({ usage, link }: { usage: Usage; link: (row: UsageRow, name: string) => ReactNode }) {
  return (
    <table className="w-full table-fixed border-collapse">
      <thead className="sr-only">
        <tr>
          <th>What</th>
          <th>Cost</th>
        </tr>
      </thead>
      <tbody className="divide-y divide-line border-y">
        {usage.rows.map((row) => {
          const name = rowName(usage.by, row)
          return (
            <tr key={`${row.project} ${row.session} ${row.provider} ${row.key}`}>
              <td className="py-1 pr-3">
                <div className="truncate" title={name}>
                  {link(row, name)}
                  {row.deleted && <span className="text-ink-3">, deleted</span>}
                </div>
                <div className="tnum text-sm text-ink-3">
                  {callWords(row)}; {tokenWords(row)}
                </div>
              </td>
              <td className="tnum w-36 py-1 text-right align-top">{costWords(row)}</td>
            </tr>
          )
        })}
      </tbody>
      {usage.truncated && (
        <caption className="caption-bottom pt-1 text-left text-sm text-ink-3">
          The dearest {usage.rows.length} are shown.
        </caption>
      )}
    </table>
  )
}
