// A tool call: one line with verb, object, result, time. Opens in place.
import type { ReactNode } from 'react'
import type { ToolRow } from '@/api/transcript/types'
import { Glyph } from '@/ui/glyph'
import { Icon } from '@/ui/icons'
import { duration } from '@/util/format'
import { cx } from '@/util/class'
import { detailsOf, toolWords } from '../tool-words'
import { ToolBody } from './tool-body'

/** Shorter runs are not worth a number. */
const TIME_FROM_MS = 100

export function ToolRowView(props: Parameters<typeof ToolLine>[0]) {
  return (
    <div>
      <ToolLine {...props} />
      {props.open && <ToolBody row={props.row} />}
    </div>
  )
}

export function ToolLine({
  row,
  open,
  quiet,
  onToggle,
  now,
}: {
  row: ToolRow
  open: boolean
  quiet: boolean
  onToggle: (id: string, open: boolean) => void
  /** In place of the time that it took, while it goes on. */
  now?: ReactNode
}) {
  const words = toolWords(row)
  const busy = row.state === 'running' || row.state === 'calling'
  // What a person stopped did not fail.
  const { cancelled, denied, doubt, reason } = detailsOf(row)
  const refused = denied === true || doubt === true
  const stopped = row.state === 'cut' || cancelled === true || reason === 'aborted' || refused
  const failed = row.state === 'failed' && !stopped
  // It has not begun: a person says whether it does.
  const asked = row.question?.kind !== undefined && row.name !== 'task'
  return (
    <button
      type="button"
      aria-expanded={open}
      onClick={() => onToggle(row.id, !open)}
      className="group -ml-1.5 flex h-7 w-[calc(100%+12px)] items-center gap-2 rounded-md pr-1.5 pl-1 text-left hover:bg-hover max-md:h-10"
    >
      <span className="flex size-3 shrink-0 items-center justify-center">
        {row.question?.kind && busy ? (
          <Glyph shape="ask" tone="amber" title="needs you" />
        ) : busy ? (
          <Glyph shape="disc" tone="moss" pulse title="running" />
        ) : failed ? (
          <Glyph shape="cross" tone="red" title="failed" />
        ) : stopped ? (
          <Glyph shape="square" tone="quiet" {...(refused ? {} : { title: 'stopped' })} />
        ) : (
          <Icon
            name="chevron"
            width={12}
            height={12}
            className={cx('text-ink-3', open && 'rotate-90')}
          />
        )}
      </span>
      <span className="shrink-0 text-ink-2">
        {busy ? (asked ? 'Waiting' : words.doing) : words.did}
      </span>
      <span className={cx('min-w-0 truncate', words.mono && 'font-mono text-sm')}>
        {words.object}
      </span>
      <span className="ml-auto flex min-w-0 shrink-0 items-center gap-2 pl-2 text-sm text-ink-3">
        {(!quiet || failed) && words.result && (
          <span className={cx('max-w-60 truncate', failed && 'text-red-text')}>{words.result}</span>
        )}
        {now}
        {!quiet && row.durationMs !== null && row.durationMs >= TIME_FROM_MS && (
          <span className="tnum min-w-11 text-right">{duration(row.durationMs)}</span>
        )}
      </span>
    </button>
  )
}
