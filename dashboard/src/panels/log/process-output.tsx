// The output of one process as it comes, the last part of it.
import { useEffect, useState } from 'react'
import { OutputBox, plainOutput } from '@/components/output-box'
import { useProject } from '@/hooks/live'
import { useRunsNow } from '@/hooks/machine'

/** Characters kept for display. */
const CHARS_MAX = 100_000
/** A stream that broke is asked for again after this. */
const AGAIN_AFTER_MS = 1000

export function ProcessOutput({ id }: { id: string }) {
  const { live } = useProject()
  // A machine that rests would be woken by it.
  const again = useRunsNow()
  const [text, setText] = useState('')
  const [end, setEnd] = useState<string | null>(null)

  useEffect(() => {
    let to = 0
    let parts: string[] = []
    let frame = 0
    let source: EventSource | null = null
    let gone = false
    let retry: ReturnType<typeof setTimeout> | undefined
    const flush = () => {
      frame = 0
      const more = plainOutput(parts.join(''))
      parts = []
      setText((before) => (before + more).slice(-CHARS_MAX))
    }
    const later = () => {
      retry = setTimeout(() => void retryIfMay(), AGAIN_AFTER_MS)
    }
    const retryIfMay = async () => {
      const may = await again().catch(() => false)
      if (gone) return
      if (may) open()
      else later()
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
        later()
      })
    }
    open()
    return () => {
      gone = true
      source?.close()
      clearTimeout(retry)
      cancelAnimationFrame(frame)
    }
  }, [id, live, again])

  return (
    <div className="border-t bg-sunk">
      <OutputBox text={text} none={end ? '(no output)' : ''} />
      {end && <div className="border-t px-3 py-1 text-sm text-ink-3">{end}</div>}
    </div>
  )
}
