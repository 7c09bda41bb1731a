// What the agent and people run in the background: live output, and a way to end it.
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import type { ProcessInfo } from '@/api/bridge-types'
import { wordsOf } from '@/api/http'
import { toast } from '@/ui/toasts'
import { useProject } from '@/hooks/live'
import { useMachineActions, useMachineState } from '@/hooks/machine'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Confirm } from '@/ui/dialog'
import { Glyph } from '@/ui/glyph'
import { Icon } from '@/ui/icons'
import { Empty, Failure, Skeleton } from '@/ui/state'
import { Ago } from '@/ui/time'
import { cx } from '@/util/class'
import { bytes } from '@/util/format'
import { ProcessOutput } from './process-output'

/** Starts and ends of background processes are no events of their own. */
const EVERY_MS = 3000

export function ProcessList({ filter, chosen }: { filter: string; chosen: string | null }) {
  const { id, live } = useProject()
  const client = useQueryClient()
  const { running, alive, isPending: unknown } = useMachineState()
  const { thaw } = useMachineActions(id)
  // Asking would wake a machine that sleeps; and there is nothing to ask for.
  const { data, error, isLoading, refetch } = useQuery({
    ...queries.processes(id),
    refetchInterval: EVERY_MS,
    enabled: running,
  })
  const [open, setOpen] = useState(chosen)
  const [ending, setEnding] = useState<ProcessInfo | null>(null)

  if (unknown || isLoading) return <Skeleton className="p-4" />
  if (!running && alive) {
    return (
      <Empty
        title="The machine is frozen"
        drawing={false}
        action={<Button onClick={() => thaw.mutate()}>Thaw</Button>}
      >
        Its processes stand still in memory. They can be looked at when it runs.
      </Empty>
    )
  }
  if (!running) {
    return (
      <Empty title="Nothing runs" drawing={false}>
        The machine has no processes now. Servers and long commands show here when it works again.
      </Empty>
    )
  }
  if (error && !data) {
    return (
      <Failure
        title="The processes could not be read"
        message={wordsOf(error)}
        action={<Button onClick={() => void refetch()}>Try again</Button>}
      />
    )
  }
  const words = filter.toLowerCase()
  const shown = (data ?? [])
    .filter((each) => !each.pty && each.label.toLowerCase().includes(words))
    .toReversed()
  if (shown.length === 0) {
    return (
      <Empty
        title={filter ? 'No process matches' : 'Nothing runs in the background'}
        drawing={false}
      >
        Servers and long commands that the agent starts show here with their output.
      </Empty>
    )
  }
  const end = async (target: ProcessInfo) => {
    try {
      await live.bridge.endProcess(target.id)
    } catch (cause) {
      toast.error('It was not ended', wordsOf(cause))
    }
    void client.invalidateQueries({ queryKey: queries.processes(id).queryKey })
  }
  return (
    <div className="min-h-0 grow overflow-y-auto">
      <ul className="divide-y divide-line">
        {shown.map((each) => (
          <li key={each.id}>
            <div className="flex h-8 items-center gap-1 pr-1.5 hover:bg-hover max-md:h-11">
              <button
                type="button"
                aria-expanded={open === each.id}
                onClick={() => setOpen(open === each.id ? null : each.id)}
                className="flex h-full min-w-0 grow items-center gap-2 pl-3 text-left -outline-offset-2"
              >
                <Icon
                  name="chevron"
                  width={12}
                  height={12}
                  className={cx('text-ink-3', open === each.id && 'rotate-90')}
                />
                <ExitGlyph process={each} />
                <span className="truncate font-mono text-sm">{each.label}</span>
                <span className="tnum ml-auto shrink-0 pl-2 text-sm text-ink-3">
                  {bytes(each.outputBytes)}, <Ago at={each.startedAt} />
                </span>
              </button>
              {each.exit === null && (
                <Button variant="ghost" onClick={() => setEnding(each)}>
                  Stop
                </Button>
              )}
            </div>
            {open === each.id && <ProcessOutput id={each.id} />}
          </li>
        ))}
      </ul>
      <Confirm
        open={ending !== null}
        title="Stop this process?"
        touches={
          <>
            <span className="font-mono text-sm break-all">{ending?.label}</span> and everything that
            it started end.
          </>
        }
        verb="Stop"
        onConfirm={() => ending && void end(ending)}
        onClose={() => setEnding(null)}
      />
    </div>
  )
}

function ExitGlyph({ process }: { process: ProcessInfo }) {
  const { exit } = process
  if (exit === null) return <Glyph shape="play" tone="moss" title="running" />
  if (exit.code === 0) return <Glyph shape="tick" tone="quiet" title="done" />
  return (
    <Glyph
      shape="cross"
      tone="red"
      title={exit.signal ? `ended by signal ${exit.signal}` : `exit code ${exit.code}`}
    />
  )
}
