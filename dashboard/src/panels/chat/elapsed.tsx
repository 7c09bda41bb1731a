// How long something has been going on, counted in seconds.
import { useEffect, useState } from 'react'
import { duration } from '@/util/format'

const TICK_MS = 1000

export function useNow(): number {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), TICK_MS)
    return () => clearInterval(timer)
  }, [])
  return now
}

export function Elapsed({ since }: { since: number }) {
  const seconds = Math.max(0, Math.floor((useNow() - since) / 1000))
  return (
    <span className="tnum ml-auto shrink-0 text-sm text-ink-3">
      {seconds < 60 ? `${seconds} s` : duration(seconds * 1000)}
    </span>
  )
}
