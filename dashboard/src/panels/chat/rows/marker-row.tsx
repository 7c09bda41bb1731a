// A moment of the project in the conversation: it went back to a checkpoint, or was forked.
import { useQuery } from '@tanstack/react-query'
import type { MarkerRow } from '@/api/transcript/types'
import { checkpointName } from '@/components/checkpoint-words'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { useAsking } from '@/stores/asking'
import { Button } from '@/ui/button'
import { Icon } from '@/ui/icons'
import { Ago } from '@/ui/time'

/** The checkpoint of before is taken at most so much before the event of going back. */
const BEFORE_MS = 120_000

export function MarkerRowView({ row, live }: { row: MarkerRow; live: boolean }) {
  const { what, at } = row
  return (
    <div className="flex min-h-7 flex-wrap items-center gap-x-2 gap-y-1 border-y border-dashed py-1 text-ink-2">
      <Icon name={what.kind === 'forked' ? 'fork' : 'undo'} className="text-ink-3" />
      <span className="min-w-0 break-words">
        {what.kind === 'forked' ? (
          <ForkedFrom project={what.from} />
        ) : (
          `${what.moved ? 'Went back' : 'The files went back'} to ${checkpointName(
            { label: what.label, createdAt: what.takenAt },
            at,
          )}`
        )}
      </span>
      <Ago at={at} className="text-sm text-ink-3" />
      {what.kind === 'restored' && live && <UndoRestore at={at} />}
    </div>
  )
}

function ForkedFrom({ project }: { project: string }) {
  const { data } = useQuery(queries.projects)
  const name = data?.find((each) => each.id === project)?.name
  return <>Forked from {name ?? `the project ${project}`}; what is above happened there</>
}

/** Goes back to what was there before going back. */
function UndoRestore({ at }: { at: number }) {
  const { id } = useProject()
  const ask = useAsking((state) => state.ask)
  const { data } = useQuery(queries.checkpoints(id))
  const before = data?.checkpoints.find(
    ({ cause, createdAt }) => cause === 'restore' && createdAt <= at && at - createdAt < BEFORE_MS,
  )
  if (!before) return null
  return (
    <Button
      variant="ghost"
      onClick={() => ask({ kind: 'restore', checkpointId: before.id })}
      className="ml-auto"
    >
      Undo…
    </Button>
  )
}
