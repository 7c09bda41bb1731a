// The dialog that was asked for in the open project, whoever asked.
import { useQuery } from '@tanstack/react-query'
import { useEffect } from 'react'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { useAsking, type Asked } from '@/stores/asking'
import { toast } from '@/ui/toasts'
import { ForkDialog } from './fork-dialog'
import { LabelDialog } from './label-dialog'
import { RestoreDialog } from './restore-dialog'
import { TreeDialog } from './tree-dialog'

export function AskedDialog({ asked }: { asked: Asked }) {
  const done = useAsking((state) => state.done)
  if (asked.kind === 'label') return <LabelDialog {...asked} onClose={done} />
  if (asked.kind === 'tree') return <TreeDialog sessionId={asked.sessionId} onClose={done} />
  return <CheckpointDialog asked={asked} />
}

function CheckpointDialog({ asked }: { asked: Extract<Asked, { checkpointId?: string }> }) {
  const { id } = useProject()
  const done = useAsking((state) => state.done)
  const wanted = asked.checkpointId
  const { data, isFetching } = useQuery({ ...queries.checkpoints(id), enabled: Boolean(wanted) })
  const checkpoint = data?.checkpoints.find((each) => each.id === wanted)
  const gone = wanted !== undefined && data !== undefined && !isFetching && !checkpoint

  useEffect(() => {
    if (!gone) return
    toast.info('That checkpoint is gone', 'It was deleted, or the keep rule let it go.')
    done()
  }, [gone, done])

  if (asked.kind === 'restore') {
    if (!checkpoint) return null
    return <RestoreDialog checkpoint={checkpoint} message={asked.message} onClose={done} />
  }
  if (wanted !== undefined && !checkpoint) return null
  return <ForkDialog checkpoint={checkpoint} message={asked.message} onClose={done} />
}
