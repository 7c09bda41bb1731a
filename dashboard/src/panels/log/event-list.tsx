// The events as lines, the newest last, only those on screen in the page.
import { useVirtualizer } from '@tanstack/react-virtual'
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react'
import type { BridgeEvent } from '@/api/events'
import { useProject } from '@/hooks/live'
import { Glyph } from '@/ui/glyph'
import { Empty } from '@/ui/state'
import { cx } from '@/util/class'
import { absolute, clock } from '@/util/format'
import { logLine, type LogLine } from './event-words'

/** Lines kept for display. */
const LINES_MAX = 5000
const LINE_PX = 24
const END_PX = 30

const GLYPHS = {
  plain: <Glyph shape="dot" tone="quiet" />,
  good: <Glyph shape="tick" tone="moss" />,
  bad: <Glyph shape="cross" tone="red" title="failed" />,
  ask: <Glyph shape="ask" tone="amber" title="needs you" />,
}

function linesOf(events: readonly BridgeEvent[], newsAfter: number): LogLine[] {
  return events.flatMap((event) => logLine(event, event.seq > newsAfter) ?? [])
}

function useLines(): LogLine[] {
  const { live } = useProject()
  const [lines, setLines] = useState(() => linesOf(live.recent, live.newsAfter))
  useEffect(() => {
    const add = (events: readonly BridgeEvent[]) => {
      const lines = linesOf(events, live.newsAfter)
      setLines((before) => {
        const last = before.at(-1)?.seq ?? 0
        const more = lines.filter((line) => line.seq > last)
        return more.length === 0 ? before : [...before, ...more].slice(-LINES_MAX)
      })
    }
    // What came between drawing and listening is among the recent ones.
    add(live.recent)
    return live.tap(add)
  }, [live])
  return lines
}

export function EventList({ filter }: { filter: string }) {
  const lines = useLines()
  const scroller = useRef<HTMLDivElement>(null)
  const stuck = useRef(true)
  const shown = useMemo(() => {
    const words = filter.toLowerCase().split(/\s+/).filter(Boolean)
    return words.length === 0
      ? lines
      : lines.filter((line) => {
          const all = `${line.kind} ${line.text}`.toLowerCase()
          return words.every((word) => all.includes(word))
        })
  }, [lines, filter])
  const virtual = useVirtualizer({
    count: shown.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => LINE_PX,
    overscan: 20,
  })

  useLayoutEffect(() => {
    const element = scroller.current
    if (element && stuck.current) element.scrollTop = element.scrollHeight
  }, [shown.length])

  if (shown.length === 0) {
    return (
      <Empty
        title={lines.length === 0 ? 'Nothing happened yet' : 'No line matches'}
        drawing={false}
      >
        {lines.length === 0
          ? 'What the agent does, what starts and what fails shows here as it happens.'
          : 'Try fewer or other words.'}
      </Empty>
    )
  }
  return (
    <div
      ref={scroller}
      role="log"
      aria-live="off"
      aria-label="Events"
      // Scrolled by keyboard too.
      // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
      tabIndex={0}
      onScroll={(event) => {
        const element = event.currentTarget
        stuck.current = element.scrollHeight - element.scrollTop - element.clientHeight < END_PX
      }}
      className="min-h-0 grow overflow-y-auto py-1 -outline-offset-2"
    >
      <div className="relative" style={{ height: virtual.getTotalSize() }}>
        {virtual.getVirtualItems().map((item) => {
          const line = shown[item.index]
          if (!line) return null
          return (
            <div
              key={item.key}
              title={`${line.kind} ${line.seq}${line.at ? `, ${absolute(line.at)}` : ''}\n${line.text}`}
              className="absolute left-0 flex h-6 w-full items-center gap-2 px-3 hover:bg-hover"
              style={{ top: item.start }}
            >
              <span className="tnum w-15 shrink-0 text-sm text-ink-3">
                {line.at ? clock(line.at) : '–'}
              </span>
              {GLYPHS[line.tone]}
              <span
                className={cx(
                  'truncate',
                  line.tone === 'bad' && 'text-red-text',
                  line.kind === 'tool_start' && 'font-mono text-sm text-ink-2',
                )}
              >
                {line.text}
              </span>
            </div>
          )
        })}
      </div>
    </div>
  )
}
