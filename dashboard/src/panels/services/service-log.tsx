// What a service prints, followed while somebody looks. The server reads it from the host, so that a
// look is no use of the machine: what rests goes on resting, and its log is shown as it was left.
import { useEffect, useState } from 'react'
import { wordsOf } from '@/api/http'
import { OutputBox, plainOutput } from '@/components/output-box'
import { useProject } from '@/hooks/live'
import { Button } from '@/ui/button'
import { bytes } from '@/util/format'

/** Characters kept for display. */
const CHARS_MAX = 100_000
const EVERY_MS = 1000

interface Shown {
  text: string
  /** Bytes before it that are gone, or not shown. */
  before: number
}

export function ServiceLog({
  id,
  visible,
  running,
}: {
  id: string
  visible: boolean
  /** Whether anything can be added to it. */
  running: boolean
}) {
  const { live } = useProject()
  const [shown, setShown] = useState<Shown | null>(null)
  const [error, setError] = useState<string | null>(null)
  const look = visible && error === null

  useEffect(() => {
    if (!look) return
    let gone = false
    let at: number | null = null
    let timer: ReturnType<typeof setTimeout> | undefined
    const read = async () => {
      const page = await live.bridge.serviceLog(id, at)
      if (gone) return
      if (page.to !== at) {
        const fresh = at === null || page.from !== at
        const text = plainOutput(page.text)
        setShown((old) => ({
          text: ((fresh ? '' : (old?.text ?? '')) + text).slice(-CHARS_MAX),
          before: fresh ? page.from : (old?.before ?? page.from),
        }))
        at = page.to
      }
      if (page.to < page.end) next(0)
      else if (running) next(EVERY_MS)
    }
    const next = (afterMs: number) => {
      timer = setTimeout(() => {
        // A tab that nobody sees looks again when it is seen.
        if (document.hidden) next(EVERY_MS)
        else void attempt()
      }, afterMs)
    }
    const attempt = async () => {
      try {
        await read()
      } catch (cause) {
        if (!gone) setError(wordsOf(cause))
      }
    }
    next(0)
    return () => {
      gone = true
      clearTimeout(timer)
    }
  }, [id, live, look, running])

  return (
    <div className="bg-sunk">
      {shown !== null && shown.before > 0 && (
        <div className="border-b px-3 py-1 text-sm text-ink-3">
          {bytes(shown.before)} before this are not shown; the oldest are let go.
        </div>
      )}
      <OutputBox
        label="Log of the service"
        text={shown?.text ?? ''}
        none={shown === null ? '' : 'It has printed nothing yet.'}
      />
      {error !== null && (
        <div className="flex items-center gap-2 border-t py-1 pr-1 pl-3 text-sm text-ink-2">
          <span className="grow">{error}</span>
          <Button variant="ghost" onClick={() => setError(null)}>
            Try again
          </Button>
        </div>
      )}
    </div>
  )
}
