// A moment, past or to come: relative, with the absolute on hover. All of them share one clock.
import { useSyncExternalStore } from 'react'
import { absolute, relative, until } from '@/util/format'

const TICK_MS = 20_000
let now = Date.now()
const listeners = new Set<() => void>()
let timer: ReturnType<typeof setInterval> | undefined

function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  // Nobody moved the clock while nobody looked.
  if (!timer) now = Date.now()
  timer ??= setInterval(() => {
    now = Date.now()
    for (const each of listeners) each()
  }, TICK_MS)
  return () => {
    listeners.delete(listener)
    if (listeners.size === 0) {
      clearInterval(timer)
      timer = undefined
    }
  }
}

/** The shared clock: good to some seconds. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now)
}

export function Ago({ at, className }: { at: number; className?: string }) {
  const current = useNow()
  return <Moment at={at} words={relative(at, Math.max(current, at))} className={className} />
}

/** A moment to come. */
export function Until({ at, className }: { at: number; className?: string }) {
  return <Moment at={at} words={until(at, useNow())} className={className} />
}

function Moment({
  at,
  words,
  className = '',
}: {
  at: number
  words: string
  className?: string | undefined
}) {
  if (!Number.isFinite(at)) return null
  return (
    <time
      dateTime={new Date(at).toISOString()}
      title={absolute(at)}
      className={`tnum whitespace-nowrap ${className}`}
    >
      {words}
    </time>
  )
}
