// Where to go from a run: its conversation, its workspace, the project as it was before.
import { runsOf } from '@/api/runs/routes'
import type { Run } from '@/api/runs/types'
import { useOpenPanel } from '@/hooks/dock'
import { useProject } from '@/hooks/live'
import { useAsking } from '@/stores/asking'
import { Button, ButtonLink } from '@/ui/button'

export function RunWays({
  run,
  unkept,
}: {
  run: Run
  /** Its workspace could not be kept; why stands among its events. */
  unkept: boolean
}) {
  const { id } = useProject()
  const open = useOpenPanel()
  const ask = useAsking((state) => state.ask)
  const { sessionId, checkpointId, status } = run
  // Only of one that is done there is a workspace.
  const kept = status === 'completed' && !unkept
  if (!sessionId && !checkpointId && !kept) return null
  return (
    <div className="flex flex-wrap gap-2">
      {sessionId && (
        <Button icon="chat" onClick={() => open({ kind: 'chat', sessionId })}>
          {run.waitsFor === 'answer' ? 'Answer in the conversation' : 'Open conversation'}
        </Button>
      )}
      {kept && (
        <ButtonLink href={runsOf(id).workspaceUrl(run.id)} icon="download" download>
          Workspace
        </ButtonLink>
      )}
      {/* Its files are not exchanged below it. */}
      {checkpointId && status !== 'running' && (
        <Button icon="undo" onClick={() => ask({ kind: 'restore', checkpointId })}>
          Go back to before this run…
        </Button>
      )}
    </div>
  )
}
