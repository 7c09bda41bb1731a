// One run: what was asked, how it stands, what waits for a person, what came of it, and what it did.
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { useEffect, useLayoutEffect, useRef } from 'react'
import { wordsOf } from '@/api/http'
import type { CourseRow } from '@/api/runs/course'
import { canCancel, isOver, type Run } from '@/api/runs/types'
import { Prose } from '@/components/prose'
import { LookGlyph } from '@/components/project-state'
import { runLook } from '@/components/run-words'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { useCourse, useRunActions } from '@/hooks/runs'
import { Elapsed } from '@/panels/chat/elapsed'
import { Button, IconButton } from '@/ui/button'
import { Failure, Skeleton, Strip } from '@/ui/state'
import { cx } from '@/util/class'
import { momentOf } from '@/util/format'
import { RunChanges } from './run-changes'
import { RunCourse } from './run-course'
import { RunFacts } from './run-facts'
import { RunFiles } from './run-files'
import { RunPlan } from './run-plan'
import { Prompt } from './run-prompt'
import { RunReceipts } from './run-receipts'
import { RunWays } from './run-ways'

/** Who is so near the end stays there as events come. */
const END_PX = 40

export function RunDetail({
  runId,
  focused,
  visible,
  onShow,
  onAgain,
}: {
  runId: string
  /** A person came here by hand. */
  focused: boolean
  visible: boolean
  onShow: (run: string | null) => void
  onAgain: (prompt: string) => void
}) {
  const { id } = useProject()
  const { data: run, error, isPending, refetch } = useQuery(queries.run(id, runId))
  const { course, connection } = useCourse(id, runId, visible)
  const box = useRef<HTMLDivElement>(null)
  const atEnd = useRef(false)
  useLayoutEffect(() => {
    if (box.current && atEnd.current) box.current.scrollTop = box.current.scrollHeight
  }, [course])

  if (isPending) return <Skeleton className="p-4" words="Reading the run…" />
  if (!run) {
    return (
      <Failure
        title="The run could not be read"
        message={wordsOf(error)}
        kept="If it works, it goes on."
        action={
          <>
            <Button onClick={() => void refetch()}>Try again</Button>
            <Button onClick={() => onShow(null)}>All runs</Button>
          </>
        }
      />
    )
  }
  return (
    <>
      <Head run={run} focused={focused} onBack={() => onShow(null)} />
      {error && <Strip tone="amber">Not read anew: {wordsOf(error)}</Strip>}
      <div
        ref={box}
        // Scrolled by keyboard too.
        // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
        tabIndex={0}
        role="group"
        aria-label={`Run ${run.runIndex}`}
        onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
          atEnd.current = scrollTop > 0 && scrollHeight - scrollTop - clientHeight < END_PX
        }}
        className="min-h-0 grow overflow-y-auto -outline-offset-2"
      >
        <div className="mx-auto flex max-w-[760px] flex-col gap-4 px-5 py-4 max-md:px-4">
          <Prompt text={run.prompt} />
          <Waits run={run} />
          <RunError run={run} onAgain={() => onAgain(run.prompt)} />
          <RunFacts run={run} onShow={onShow} />
          <RunWays run={run} unkept={course.rows.some(isUnkept)} />
          {run.output && isOver(run) && (
            <section aria-label="Output">
              <h3 className="mb-1 font-semibold">Output</h3>
              <div className="max-w-[72ch]">
                <Prose text={run.output} />
              </div>
            </section>
          )}
          <RunPlan run={run} plan={course.plan} />
          <RunReceipts run={run} />
          <RunChanges run={run} />
          <RunFiles files={course.files} more={course.morePaths} />
          <RunCourse run={run} course={course} connection={connection} />
        </div>
      </div>
    </>
  )
}

/** Whether it tells that the workspace was not kept. */
function isUnkept(row: CourseRow): boolean {
  return (
    row.kind === 'moment' &&
    row.what.kind === 'status' &&
    row.what.status === 'workspace_snapshot_store_failed'
  )
}

function Head({ run, focused, onBack }: { run: Run; focused: boolean; onBack: () => void }) {
  const { id } = useProject()
  const { cancel } = useRunActions(id)
  const { data } = useInfiniteQuery(queries.runs(id))
  const runs = data?.pages.flat() ?? []
  const title = useRef<HTMLHeadingElement>(null)
  const look = runLook(run)
  useEffect(() => {
    if (focused) title.current?.focus()
  }, [focused])
  return (
    <div className="flex h-10 shrink-0 items-center gap-2 border-b pr-2 pl-1.5 max-md:h-12">
      <IconButton icon="back" label="All runs" onClick={onBack} />
      <h2 ref={title} tabIndex={-1} className="shrink-0 font-semibold outline-none">
        Run {run.runIndex}
      </h2>
      <span role="status" className="flex min-w-0 items-center gap-1.5">
        <LookGlyph look={look} />
        <span className={cx('truncate', look.tone === 'amber' && 'text-amber-text')}>
          {look.word}
        </span>
      </span>
      <span className="ml-auto flex shrink-0 items-center gap-2">
        {run.status === 'running' && run.waitsFor === null && run.startedAt && (
          <Elapsed since={momentOf(run.startedAt)} />
        )}
        {canCancel(run, runs) && (
          <Button icon="stop" disabled={cancel.isPending} onClick={() => cancel.mutate(run)}>
            {cancel.isPending ? 'Cancelling…' : 'Cancel run'}
          </Button>
        )}
      </span>
    </div>
  )
}

/** What it waits for, but for a word on its plan: that stands with the plan. */
function Waits({ run }: { run: Run }) {
  if (run.waitsFor === 'answer') {
    return (
      <p className="rounded-md border border-l-2 border-l-amber px-3 py-2">
        It waits for you: its agent asks something, or a budget is spent. The conversation says
        which.
      </p>
    )
  }
  if (run.waitsFor === 'machine') {
    return (
      <p className="rounded-md border border-l-2 border-l-amber px-3 py-2">
        Its machine is stopped. Start the project, and the run goes on.
      </p>
    )
  }
  if (run.waitsFor === 'host') {
    return (
      <p className="rounded-md border border-l-2 border-l-amber px-3 py-2">
        The host that has its machine does not answer. The run goes on when it does.
      </p>
    )
  }
  if (run.waitsFor === 'provider') {
    return (
      <p className="rounded-md border border-l-2 border-l-amber px-3 py-2">
        The provider of its model does not answer, or wants to be asked later. It is asked again,
        and the run goes on when it answers.
      </p>
    )
  }
  return null
}

function RunError({ run, onAgain }: { run: Run; onAgain: () => void }) {
  const { error, status } = run
  if (!error || status === 'completed') return null
  const { attempt, maxAttempts } = run.meta
  const of = `attempt ${Math.max(1, attempt)} of ${maxAttempts}`
  return (
    <Failure
      compact
      title={
        status === 'error'
          ? `It failed, ${of}`
          : status === 'cancelled'
            ? `It had failed before it was cancelled, ${of}`
            : `It failed and is tried again, ${of}`
      }
      message={<span className="whitespace-pre-wrap">{error}</span>}
      kept="What it changed stays."
      {...(status === 'error' ? { action: <Button onClick={onAgain}>Run it again…</Button> } : {})}
    />
  )
}
