// The checkpoints of the project as a timeline, the newest first: keep one, compare it with now, go back
// to it, fork it.
import { useQuery } from '@tanstack/react-query'
import { useEffect, useMemo, useState } from 'react'
import { wordsOf } from '@/api/http'
import type { Checkpoint } from '@/api/machine-types'
import { byDay } from '@/components/checkpoint-words'
import { Ticked } from '@/components/ticked'
import type { PanelProps } from '@/hooks/dock'
import { useProject } from '@/hooks/live'
import { useMachineState } from '@/hooks/machine'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Empty, Failure, Skeleton, Strip } from '@/ui/state'
import { useNow } from '@/ui/time'
import { capital } from '@/util/format'
import { CheckpointRow } from './checkpoint-row'
import { KeepBar } from './keep-bar'
import { KeepRuleLine } from './keep-rule'

/** Rows drawn at first. */
const ROWS_MAX = 60
/** Rows added by each "more". */
const ROWS_STEP = 200

export function CheckpointsPanel({ params, setTitle }: PanelProps<'checkpoints'>) {
  const { id } = useProject()
  const { machine } = useMachineState()
  const { data, error, isPending, refetch } = useQuery(queries.checkpoints(id))
  useEffect(() => setTitle('Checkpoints'), [setTitle])

  if (isPending) {
    return <Skeleton className="p-4" widths={[34, 78, 66, 82]} words="Reading the checkpoints…" />
  }
  if (!data) {
    return (
      <Failure
        title="The checkpoints could not be read"
        message={wordsOf(error)}
        kept="They lie with the project; nothing is lost."
        action={<Button onClick={() => void refetch()}>Try again</Button>}
      />
    )
  }
  const able = machine ? machine.can.checkpoint : true
  if (!able && data.checkpoints.length === 0) {
    return (
      <Empty title="No checkpoints here">
        <Ticked
          text={capital(
            data.why?.replace(/\.$/, '') ??
              `the backend \`${machine?.backend ?? ''}\` keeps no copies of its machines’ disks`,
          )}
        />
        . What would be needed, Settings says under Host.
      </Empty>
    )
  }
  return (
    <>
      {data.why && (
        <Strip tone="amber">
          <Ticked text={capital(data.why)} />
        </Strip>
      )}
      {error && <Strip tone="amber">Not read anew: {wordsOf(error)}</Strip>}
      {able && <KeepBar live={machine?.can.liveCheckpoint ?? true} />}
      {data.checkpoints.length === 0 ? (
        <div className="min-h-0 grow">
          <Empty title="No checkpoints yet">
            {data.automatic
              ? 'One is taken before every prompt. You can also keep one now, before you change something yourself.'
              : 'Keep one now, before you change something: it holds files, conversations and the inspect database.'}
          </Empty>
        </div>
      ) : (
        <Timeline
          key={params.id}
          checkpoints={data.checkpoints}
          chosen={params.id ?? null}
          canFork={machine?.can.fork ?? true}
        />
      )}
      <KeepRuleLine list={data} />
    </>
  )
}

function Timeline({
  checkpoints,
  chosen,
  canFork,
}: {
  checkpoints: readonly Checkpoint[]
  chosen: string | null
  canFork: boolean
}) {
  const [open, setOpen] = useState(chosen)
  const [shown, setShown] = useState(ROWS_MAX)
  const now = useNow()
  const days = useMemo(() => byDay(checkpoints.slice(0, shown), now), [checkpoints, shown, now])
  const rest = checkpoints.length - shown
  return (
    <div className="min-h-0 grow overflow-y-auto pb-2">
      {days.map(({ day, checkpoints: each }) => (
        <section key={day} aria-label={day}>
          <h2 className="sticky top-0 z-10 flex h-7 items-end bg-surface px-3 pb-1 text-sm font-medium text-ink-2">
            {day}
          </h2>
          <ol>
            {each.map((checkpoint) => (
              <CheckpointRow
                key={checkpoint.id}
                checkpoint={checkpoint}
                open={open === checkpoint.id}
                canFork={canFork}
                onToggle={() => setOpen(open === checkpoint.id ? null : checkpoint.id)}
              />
            ))}
          </ol>
        </section>
      ))}
      {rest > 0 && (
        <button
          type="button"
          onClick={() => setShown(shown + ROWS_STEP)}
          className="h-8 w-full px-3 text-left text-blue hover:underline"
        >
          {rest} older
        </button>
      )}
    </div>
  )
}
