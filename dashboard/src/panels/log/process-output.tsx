// The output of one process as it comes, the last part of it.
import { useEffect, useLayoutEffect, useRef, useState } from 'react'
import { useProject } from '@/hooks/live'

/** Characters kept for display. */
const CHARS_MAX = 100_000
/** Terminal colours are not drawn here. */
// oxlint-disable-next-line no-control-regex
const ESCAPES = /\u001B(?:\[[0-9;?]*[ -/]*[@-~]|\][^\u0007]*\u0007|[@-_])/g

export function ProcessOutput({ id }: { id: string }) {
  const { live } = useProject()
  const [text, setText] = useState('')
  const [end, setEnd] = useState<string | null>(null)
  const box = useRef<HTMLPreElement>(null)
  const stuck = useRef(true)

  useEffect(() => {
    let to = 0
    let parts: string[] = []
    let frame = 0
    let source: EventSource | null = null
    let retry: ReturnType<typeof setTimeout> | undefined
    const flush = () => {
      frame = 0
      const more = parts.join('').replaceAll(ESCAPES, '').replaceAll('\r\n', '\n')
      parts = []
      setText((before) => (before + more).slice(-CHARS_MAX))
    }
    const open = () => {
      source = new EventSource(live.bridge.processOutputUrl(id, to))
      source.addEventListener('output', (message: MessageEvent<string>) => {
        const output = JSON.parse(message.data) as { text: string; to: number }
        if (output.to <= to) return
        to = output.to
        parts.push(output.text)
        frame ||= requestAnimationFrame(flush)
      })
      source.addEventListener('exit', (message: MessageEvent<string>) => {
        source?.close()
        const exit = JSON.parse(message.data) as {
          code?: number | null
          exitCode?: number | null
          signal?: number | null
        }
        const code = exit.code ?? exit.exitCode
        setEnd(exit.signal ? `Ended by signal ${exit.signal}` : `Exit code ${code ?? 0}`)
      })
      source.addEventListener('error', () => {
        source?.close()
        retry = setTimeout(open, 1000)
      })
    }
    open()
    return () => {
      source?.close()
      clearTimeout(retry)
      cancelAnimationFrame(frame)
    }
  }, [id, live])

  useLayoutEffect(() => {
    if (box.current && stuck.current) box.current.scrollTop = box.current.scrollHeight
  }, [text])

  return (
    <div className="border-t bg-sunk">
      <pre
        ref={box}
        onScroll={(event) => {
          const element = event.currentTarget
          stuck.current = element.scrollHeight - element.scrollTop - element.clientHeight < 30
        }}
        className="max-h-80 min-h-10 overflow-auto px-3 py-2 text-sm leading-[18px] break-words whitespace-pre-wrap"
      >
        {text || (end ? '(no output)' : '')}
      </pre>
      {end && <div className="border-t px-3 py-1 text-sm text-ink-3">{end}</div>}
    </div>
  )
}
