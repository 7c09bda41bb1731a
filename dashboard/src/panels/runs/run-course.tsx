// What a run did, in its order: words, calls of tools, moments.
import { memo, useCallback, useState } from 'react'
import type { Connection } from '@/api/live/line'
import type { Course, CourseRow, MomentRow } from '@/api/runs/course'
import { isOver, type Run } from '@/api/runs/types'
import { momentWords, type Words } from '@/components/run-words'
import { AnswerText } from '@/panels/chat/rows/answer-text'
import { ToolRowView } from '@/panels/chat/rows/tool-row'
import { Button } from '@/ui/button'
import { Glyph, type Shape, type Tone } from '@/ui/glyph'
import { Skeleton } from '@/ui/state'
import { cx } from '@/util/class'
import { absolute, shortClock } from '@/util/format'

/** Rows drawn at first, and added by each "earlier". */
const ROWS_STEP = 200

export function RunCourse({
  run,
  course,
  connection,
}: {
  run: Run
  course: Course
  connection: Connection
}) {
  const [shown, setShown] = useState(ROWS_STEP)
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set())
  const toggle = useCallback((row: string, opens: boolean) => {
    setOpen((before) => {
      const next = new Set(before)
      if (opens) next.add(row)
      else next.delete(row)
      return next
    })
  }, [])
  const { rows, left } = course
  const hidden = Math.max(0, rows.length - shown)
  const broken = connection === 'broken' && !course.isOver
  return (
    <section aria-label="Events">
      <h3 className="mb-1 font-semibold">Events</h3>
      {hidden > 0 ? (
        <Button variant="ghost" className="-ml-2.5" onClick={() => setShown(shown + ROWS_STEP)}>
          {Math.min(hidden, ROWS_STEP)} earlier
        </Button>
      ) : (
        left > 0 && <p className="text-sm text-ink-3">What was before, the conversation has.</p>
      )}
      {rows.length === 0 && connection === 'connecting' && (
        <Skeleton className="py-1" words="Reading its events…" />
      )}
      <div role="log" aria-live="off" aria-label={`Events of run ${run.runIndex}`}>
        <ol>
          {rows.slice(hidden).map((row) => (
            <CourseLine key={row.id} row={row} open={open.has(row.id)} onToggle={toggle} />
          ))}
        </ol>
      </div>
      {broken && (
        <p role="status" className="text-sm text-amber-text">
          The line to the server is broken. It is tried again by itself
          {isOver(run) ? '.' : '; the run goes on.'}
        </p>
      )}
    </section>
  )
}

const CourseLine = memo(function CourseLine({
  row,
  open,
  onToggle,
}: {
  row: CourseRow
  open: boolean
  onToggle: (row: string, open: boolean) => void
}) {
  switch (row.kind) {
    case 'text':
    case 'thinking':
      return (
        // Of an answer that was the plan alone nothing is left to be said here.
        <li className="max-w-[72ch] py-1.5 empty:hidden">
          <AnswerText row={row} />
        </li>
      )
    case 'tool':
      return (
        <li className="pl-1.5">
          <ToolRowView row={row} open={open} quiet={false} onToggle={onToggle} />
        </li>
      )
    default:
      return <Moment row={row} />
  }
})

const GLYPHS: Record<Words['tone'], { shape: Shape; tone: Tone }> = {
  plain: { shape: 'dot', tone: 'quiet' },
  good: { shape: 'tick', tone: 'moss' },
  bad: { shape: 'cross', tone: 'red' },
  ask: { shape: 'ask', tone: 'amber' },
}

function Moment({ row }: { row: MomentRow }) {
  const words = momentWords(row.what)
  if (!words) return null
  return (
    <li className="flex min-h-6 items-start gap-2 py-0.5 text-sm text-ink-2">
      <span className="flex h-5 items-center">
        <Glyph {...GLYPHS[words.tone]} />
      </span>
      <span
        className={cx(
          'min-w-0 break-words whitespace-pre-wrap',
          words.tone === 'bad' && 'text-red-text',
        )}
      >
        {words.text}
      </span>
      {Number.isFinite(row.at) && (
        <time
          dateTime={new Date(row.at).toISOString()}
          title={absolute(row.at)}
          className="tnum ml-auto shrink-0 text-ink-3"
        >
          {shortClock(row.at)}
        </time>
      )}
    </li>
  )
}
