// Many lines of text: only those on screen are in the page.
import { useVirtualizer } from '@tanstack/react-virtual'
import { useMemo, useRef } from 'react'

const LINE_PX = 18
/** Longer lines are cut for display: one endless line would stall the layout. */
const LINE_CHARS_MAX = 2000

export function CodeLines({ text, label }: { text: string; label: string }) {
  const scroller = useRef<HTMLDivElement>(null)
  const lines = useMemo(() => text.replace(/\n$/, '').split('\n'), [text])
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => LINE_PX,
    overscan: 30,
  })
  const digits = String(lines.length).length
  return (
    <div
      ref={scroller}
      role="region"
      aria-label={label}
      // A scrolling region must be reachable by keyboard.
      // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
      tabIndex={0}
      className="h-full overflow-auto font-mono text-sm leading-[18px] -outline-offset-2"
    >
      <div className="relative w-max min-w-full" style={{ height: virtual.getTotalSize() + 16 }}>
        {virtual.getVirtualItems().map((item) => {
          const line = lines[item.index] ?? ''
          return (
            <div
              key={item.key}
              className="absolute left-0 flex min-w-full pr-4 whitespace-pre"
              style={{ top: 8 + item.start, height: LINE_PX }}
            >
              <span
                aria-hidden="true"
                className="tnum sticky left-0 mr-3 shrink-0 bg-surface pl-3 text-right text-ink-3 select-none"
                style={{ width: `calc(${digits}ch + 20px)` }}
              >
                {item.index + 1}
              </span>
              {line.length > LINE_CHARS_MAX ? `${line.slice(0, LINE_CHARS_MAX)} …` : line}
            </div>
          )
        })}
      </div>
    </div>
  )
}
