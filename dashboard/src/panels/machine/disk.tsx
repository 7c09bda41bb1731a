// What the project takes on disk, what all of them take, and what there still is.
import { useQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { wordsOf } from '@/api/http'
import type { Machine } from '@/api/types'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Meter } from '@/ui/meter'
import { Failure, Skeleton } from '@/ui/state'
import { bytes } from '@/util/format'

export function Disk({ machine }: { machine: Machine }) {
  const { id } = useProject()
  const { data, error, isPending, refetch } = useQuery(queries.disk(id))
  if (isPending) return <Skeleton widths={[46, 38]} />
  if (!data) {
    return (
      <Failure
        compact
        title="The disk could not be read"
        message={wordsOf(error)}
        action={<Button onClick={() => void refetch()}>Try again</Button>}
      />
    )
  }
  const { exclusiveBytes: own, sharedBytes: shared, quotaBytes: quota } = data
  const { totalBytes: total, capBytes: cap, freeBytes: free, yieldBelowBytes: low } = data
  return (
    <>
      <dl className="grid grid-cols-3 gap-x-5 gap-y-3 max-sm:grid-cols-2">
        <Size name="Its own">
          {own === null ? null : (
            <>
              {bytes(own)}
              {quota !== null && (
                <span className="mt-1.5 block">
                  <Meter part={own / quota} label="Disk used" />
                </span>
              )}
            </>
          )}
        </Size>
        <Size name="Shared">{shared === null ? null : bytes(shared)}</Size>
        <Size name="Quota">
          {quota === null
            ? machine.limits.diskBytes === null
              ? 'none'
              : 'set, but not enforced here'
            : bytes(quota)}
        </Size>
        <Size name="Log folder">{data.logBytes === null ? null : bytes(data.logBytes)}</Size>
        <Size name="All projects">
          {total === null ? null : (
            <>
              {bytes(total)}
              {cap !== null && (
                <>
                  <span className="text-ink-3"> of {bytes(cap)}</span>
                  <span className="mt-1.5 block">
                    <Meter part={total / cap} label="Disk of all projects used" />
                  </span>
                </>
              )}
            </>
          )}
        </Size>
        <Size name="Free for all projects">{free === null ? null : bytes(free)}</Size>
      </dl>
      <p className="mt-2 text-sm text-pretty text-ink-3">
        {own !== null &&
          '“Its own” is what it and its checkpoints wrote, up to half a minute old; “shared” is what it has from its origin or image, of files beyond 2 KiB. '}
        {low !== null &&
          `With less than ${bytes(low)} free, automatic checkpoints go, but for the last ones.`}
      </p>
    </>
  )
}

function Size({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt className="text-sm text-ink-3">{name}</dt>
      <dd className="tnum">{children ?? <span className="text-ink-3">not counted here</span>}</dd>
    </div>
  )
}
