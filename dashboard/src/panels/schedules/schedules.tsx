// What the project does by the clock: each schedule with its next time and what became of the last ones.
import { useQuery } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { wordsOf } from '@/api/http'
import type { Schedule } from '@/api/machine-types'
import type { PanelProps } from '@/hooks/dock'
import { useProject } from '@/hooks/live'
import { useMachineState } from '@/hooks/machine'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Empty, Failure, Skeleton, Strip } from '@/ui/state'
import { plural } from '@/util/format'
import { ScheduleForm } from './schedule-form'
import { ScheduleRow } from './schedule-row'

export function SchedulesPanel({ params, setTitle }: PanelProps<'schedules'>) {
  const { id } = useProject()
  const { machine } = useMachineState()
  const { data, error, isPending, refetch } = useQuery(queries.schedules(id))
  const [editing, setEditing] = useState<Schedule | 'new' | null>(null)
  useEffect(() => setTitle('Schedules'), [setTitle])

  if (isPending) return <Skeleton className="p-4" words="Reading the schedules…" />
  if (!data) {
    return (
      <Failure
        title="The schedules could not be read"
        message={wordsOf(error)}
        kept="They go on: the server keeps them."
        action={<Button onClick={() => void refetch()}>Try again</Button>}
      />
    )
  }
  const on = data.filter((schedule) => schedule.enabled).length
  return (
    <>
      {machine?.state === 'stopped' && data.length > 0 && (
        <Strip tone="amber">
          The machine is stopped: what is due is skipped until you start it.
        </Strip>
      )}
      {data.length === 0 ? (
        <Empty
          title="No schedules yet"
          action={
            <Button variant="primary" icon="add" onClick={() => setEditing('new')}>
              Add a schedule
            </Button>
          }
        >
          A command or a prompt for the agent, by the clock: each workday at nine, every hour, once
          tomorrow. It wakes a machine that sleeps.
        </Empty>
      ) : (
        <>
          <div className="flex h-10 shrink-0 items-center gap-2 border-b pr-2 pl-3 max-md:h-12">
            <span className="grow text-ink-2">
              {plural(on, 'schedule')} on{data.length > on && `, ${data.length - on} off`}
            </span>
            <Button icon="add" onClick={() => setEditing('new')}>
              Add
            </Button>
          </div>
          <ScheduleList
            key={params.id}
            schedules={data}
            chosen={params.id ?? null}
            onEdit={setEditing}
          />
        </>
      )}
      {editing !== null && (
        <ScheduleForm
          schedule={editing === 'new' ? null : editing}
          onClose={() => setEditing(null)}
        />
      )}
    </>
  )
}

function ScheduleList({
  schedules,
  chosen,
  onEdit,
}: {
  schedules: readonly Schedule[]
  chosen: string | null
  onEdit: (schedule: Schedule) => void
}) {
  const [open, setOpen] = useState(chosen)
  return (
    <div className="min-h-0 grow overflow-y-auto">
      <ul className="divide-y divide-line border-b">
        {schedules.map((schedule) => (
          <ScheduleRow
            key={schedule.id}
            schedule={schedule}
            open={open === schedule.id}
            onToggle={() => setOpen(open === schedule.id ? null : schedule.id)}
            onEdit={() => onEdit(schedule)}
          />
        ))}
      </ul>
    </div>
  )
}
