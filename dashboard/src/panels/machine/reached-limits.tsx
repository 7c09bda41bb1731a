// The limits that were reached lately: which, by whom, how far.
import { limitWords } from '@/components/machine-words'
import { Ticked } from '@/components/ticked'
import { useLatest } from '@/hooks/live'
import { Icon } from '@/ui/icons'
import { Ago } from '@/ui/time'

const HITS_MAX = 3

export function ReachedLimits() {
  const hits = useLatest('limit', HITS_MAX).toReversed()
  if (hits.length === 0) return null
  return (
    <ul className="mt-4 flex flex-col gap-2 border-t pt-3" aria-label="Limits reached lately">
      {hits.map(({ seq, at, data }) => {
        const { title, use } = limitWords(data)
        return (
          <li key={seq} className="flex gap-2.5">
            <Icon name="warn" className="mt-0.5 text-amber-text" />
            <div className="min-w-0">
              <div className="flex flex-wrap gap-x-2">
                <span className="font-medium">{title}</span>
                {use && <span className="tnum text-ink-3">{use}</span>}
                <Ago at={at} className="text-ink-3" />
              </div>
              {data.command && !data.message.includes(data.command) && (
                <code className="block text-sm break-all">{data.command}</code>
              )}
              <p className="break-words text-ink-2">
                <Ticked text={data.message} />
              </p>
            </div>
          </li>
        )
      })}
    </ul>
  )
}
