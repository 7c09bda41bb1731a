// Text that grows at its end; the box stays there until the reader scrolls up.
import { useLayoutEffect, useRef } from 'react'

/** Terminal colours are not drawn here. */
// oxlint-disable-next-line no-control-regex
const ESCAPES = /\u001B(?:\[[0-9;?]*[ -/]*[@-~]|\][^\u0007]*\u0007|[@-_])/g

/** What a program printed, without what only a terminal reads. */
export function plainOutput(text: string): string {
  return text.replaceAll(ESCAPES, '').replaceAll('\r\n', '\n')
}

const END_PX = 30

export function OutputBox({ text, none, label }: { text: string; none: string; label?: string }) {
  const box = useRef<HTMLPreElement>(null)
  const stuck = useRef(true)
  useLayoutEffect(() => {
    if (box.current && stuck.current) box.current.scrollTop = box.current.scrollHeight
  }, [text])
  return (
    <pre
      ref={box}
      {...(label ? { role: 'log', 'aria-live': 'off', 'aria-label': label } : {})}
      // Scrolled by keyboard too.
      // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
      tabIndex={0}
      onScroll={(event) => {
        const element = event.currentTarget
        stuck.current = element.scrollHeight - element.scrollTop - element.clientHeight < END_PX
      }}
      className="max-h-80 min-h-10 overflow-auto px-3 py-2 text-sm leading-[18px] break-words whitespace-pre-wrap -outline-offset-2"
    >
      {text || none}
    </pre>
  )
}
