// What a service prints, followed while somebody looks. Each look is a use of the machine: so that a
// forgotten panel does not keep it from resting, following ends when nothing has come for a while.
import { useEffect, useState } from 'react'
import { wordsOf } from '@/api/http'
import { OutputBox, plainOutput } from '@/components/output-box'
import { useProject } from '@/hooks/live'
import { Button } from '@/ui/button'
import { bytes } from '@/util/format'

/** Characters kept for display. */
const CHARS_MAX = 100_000
const EVERY_MS = 1000
/** Without a new line for so long, it is not looked any more. */
const QUIET_MS = 60_000

interface Shown {
  text: string
  /** Bytes before it that are gone, or not shown. */
  before: number
}

export function ServiceLog({ id, visible }: { id: string; visible: boolean }) {
  const { live } = useProject()
  const [shown, setShown] = useState<Shown | null>(null)
  const [error, setError] = useState<string | null>(null)
  const [following, setFollowing] = useState(true)
  const follow = visible && following

  useEffect(() => {
    if (!follow) return
    let gone = false
    let at: number | null = null
    let heard = Date.now()
    let timer: ReturnType<typeof setTimeout> | undefined
    const look = async () => {
      const page = await live.bridge.serviceLog(id, at)
      if (gone) return
      setError(null)
      if (page.to !== at) {
        const fresh = at === null || page.from !== at
        const text = plainOutput(page.text)
        setShown((old) => ({
          text: ((fresh ? '' : (old?.text ?? '')) + text).slice(-CHARS_MAX),
          before: fresh ? page.from : (old?.before ?? page.from),
        }))
        at = page.to
        heard = Date.now()
      }
      if (Date.now() - heard > QUIET_MS) setFollowing(false)
      else next(page.to < page.end ? 0 : EVERY_MS)
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
        await look()
      } catch (cause) {
        if (gone) return
        setError(wordsOf(cause))
        setFollowing(false)
      }
    }
    next(0)
    return () => {
      gone = true
      clearTimeout(timer)
    }
  }, [id, live, follow])

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
      {!following && (
        <div className="flex items-center gap-2 border-t py-1 pr-1 pl-3 text-sm text-ink-2">
          <span className="grow">
            {error ??
              'Nothing new for a while: not followed any more, so that the machine may rest.'}
          </span>
          <Button variant="ghost" onClick={() => setFollowing(true)}>
            Follow
          </Button>
        </div>
      )}
    </div>
  )
}
