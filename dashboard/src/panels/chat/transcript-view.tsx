// The conversation as a document. Only the rows on screen are in the page; it stays at the end while
// the reader is there, and lets go as soon as they scroll up.
import { useVirtualizer, type Virtualizer } from '@tanstack/react-virtual'
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from 'react'
import type { Row } from '@/api/transcript/types'
import { useView } from '@/stores/view'
import { Icon } from '@/ui/icons'
import { isLive, lastOf } from './live-row'
import { NestedContext, type TranscriptViewProps } from './nested-context'
import { ProofContext, useProofsOf } from './proof-context'
import { RowView } from './rows/row-view'

/** Closer to the end than this counts as at the end. */
const END_PX = 28

/** First guess of a row's height; the page measures the real one. */
function estimate(row: Row | undefined): number {
  switch (row?.kind) {
    case 'tool':
    case 'thinking':
    case 'note':
      return 28
    case 'tally':
    case 'marker':
      return 44
    case 'text':
      return 24 + Math.ceil(row.text.length / 72) * 22
    default:
      return 56
  }
}

/** A hidden panel has no height: what was measured before stays. */
function measure(
  element: Element,
  entry: ResizeObserverEntry | undefined,
  instance: Virtualizer<HTMLDivElement, Element>,
): number {
  const height = Math.round(
    entry?.borderBoxSize[0]?.blockSize ?? element.getBoundingClientRect().height,
  )
  if (height > 0) return height
  const index = Number(element.getAttribute('data-index'))
  return instance.measurementsCache[index]?.size ?? instance.options.estimateSize(index)
}

export function TranscriptView({
  transcript,
  working,
  visible,
  pinned,
  label = 'Conversation',
  heightMax,
  onRetry,
}: TranscriptViewProps) {
  const { rows, sessionId } = transcript
  const scroller = useRef<HTMLDivElement>(null)
  const stuck = useRef(true)
  const lastAuto = useRef(0)
  const seen = useRef(rows.length)
  const [away, setAway] = useState(false)
  const [opened, setOpened] = useState<ReadonlyMap<string, boolean>>(new Map())
  const density = useView((state) => state.density)

  const virtual = useVirtualizer<HTMLDivElement, Element>({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: (index) => estimate(rows[index]),
    getItemKey: (index) => rows[index]?.id ?? index,
    measureElement: measure,
    overscan: 8,
    paddingStart: heightMax ? 12 : 20,
    paddingEnd: heightMax ? 12 : 24,
  })
  const total = virtual.getTotalSize()

  const toEnd = useCallback(() => {
    const element = scroller.current
    if (!element) return
    element.scrollTop = element.scrollHeight
    lastAuto.current = element.scrollTop
  }, [])

  // What appears above or below takes height from it: who was at the end stays there.
  useEffect(() => {
    const element = scroller.current
    if (!element) return
    const sized = new ResizeObserver(() => {
      if (stuck.current && element.clientHeight > 0) toEnd()
    })
    sized.observe(element)
    return () => sized.disconnect()
  }, [toEnd])

  useLayoutEffect(() => {
    if (stuck.current && visible) {
      toEnd()
      seen.current = rows.length
    }
  }, [total, rows, visible, toEnd])

  const attach = useCallback(() => {
    stuck.current = true
    setAway(false)
    toEnd()
  }, [toEnd])
  useEffect(() => {
    if (pinned > 0) attach()
  }, [pinned, attach])

  const onScroll = () => {
    const element = scroller.current
    if (!element || !visible) return
    const gap = element.scrollHeight - element.scrollTop - element.clientHeight
    if (gap <= END_PX) {
      stuck.current = true
      lastAuto.current = element.scrollTop
    } else if (element.scrollTop < lastAuto.current - 2) {
      if (stuck.current) seen.current = rows.length
      stuck.current = false
    }
    setAway(!stuck.current)
  }

  const toggle = useCallback((id: string, open: boolean) => {
    setOpened((before) => new Map(before).set(id, open))
  }, [])

  const bring = useCallback(
    (at: number) => {
      const row = rows[at]
      if (!row) return
      setOpened((before) => new Map(before).set(row.id, true))
      stuck.current = false
      virtual.scrollToIndex(at, { align: 'center' })
    },
    [rows, virtual],
  )
  const proofs = useProofsOf(sessionId, rows, bring)

  const fresh = rows.length - seen.current
  const last = lastOf(rows)

  return (
    <ProofContext value={proofs}>
      <NestedContext value={nested}>
        <div
          ref={scroller}
          onScroll={onScroll}
          role="log"
          aria-live="off"
          aria-label={label}
          // Scrolled by keyboard too.
          // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
          tabIndex={0}
          className="h-full overflow-y-auto overscroll-contain -outline-offset-2 [overflow-anchor:none]"
          data-session={sessionId}
          style={heightMax ? { height: Math.min(total, heightMax) } : undefined}
        >
          <div className="relative mx-auto w-full max-w-[700px]" style={{ height: total }}>
            {virtual.getVirtualItems().map((item) => {
              const row = rows[item.index]
              if (!row) return null
              return (
                <div
                  key={item.key}
                  ref={virtual.measureElement}
                  data-index={item.index}
                  role="article"
                  aria-posinset={item.index + 1}
                  aria-setsize={rows.length}
                  className="absolute top-0 left-0 w-full px-5 max-md:px-4"
                  style={{ transform: `translateY(${item.start}px)` }}
                >
                  <RowView
                    row={row}
                    before={rows[item.index - 1]?.kind ?? null}
                    open={opened.get(row.id) ?? (density === 'full' && row.kind === 'tool')}
                    quiet={density === 'quiet'}
                    live={!working && isLive(row, last)}
                    sessionId={sessionId}
                    onToggle={toggle}
                    onRetry={onRetry}
                  />
                </div>
              )
            })}
          </div>
        </div>
        {away && (
          <button
            type="button"
            onClick={attach}
            className="appear absolute bottom-3 left-1/2 flex h-7 -translate-x-1/2 items-center gap-1.5 rounded-full border bg-raised px-3 text-sm shadow-float hover:bg-sunk max-md:h-10"
          >
            <Icon name="arrowDown" width={14} height={14} />
            {fresh > 0 ? `${fresh} new` : 'To the end'}
          </button>
        )}
      </NestedContext>
    </ProofContext>
  )
}

const nested = (props: TranscriptViewProps) => <TranscriptView {...props} />
