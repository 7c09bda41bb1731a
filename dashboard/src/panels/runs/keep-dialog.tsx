// Keeping a candidate: first what happens, then it is done. Enter does the safe thing.
import type { Candidate, Comparison } from '@/api/runs/comparisons'
import { isOver } from '@/api/runs/types'
import { Button } from '@/ui/button'
import { Dialog } from '@/ui/dialog'

export function KeepDialog({
  comparison: { candidates },
  candidate,
  onKeep,
  onClose,
}: {
  comparison: Comparison
  candidate: Candidate
  onKeep: () => void
  onClose: () => void
}) {
  const others = candidates.filter(
    ({ runId, projectId }) => runId !== candidate.runId && projectId !== null,
  )
  const works = others.filter(({ run }) => run && !isOver(run)).length
  return (
    <Dialog
      open
      onOpenChange={(open) => !open && onClose()}
      title={`Keep candidate ${candidate.number}?`}
    >
      <ul className="mt-2 list-disc space-y-1 pl-5 text-ink-2">
        <li>
          The project’s files become those of candidate {candidate.number}. Its conversation and its
          run come along.
        </li>
        <li>
          How the project is now is kept as a checkpoint first, so this can be undone. The project’s
          machine starts anew.
        </li>
        {others.length > 0 && (
          <li>
            {others.length === 1 ? 'The other candidate is' : `The ${others.length} others are`}{' '}
            deleted for good
            {works > 0 && `, though ${works === 1 ? 'one still works' : `${works} still work`}`}.
          </li>
        )}
      </ul>
      <div className="mt-4 flex justify-end gap-2">
        {/* The safe button takes the focus: the person asked for this dialog just now. */}
        {/* oxlint-disable-next-line jsx-a11y/no-autofocus */}
        <Button autoFocus onClick={onClose}>
          Cancel
        </Button>
        <Button
          variant="primary"
          icon="check"
          onClick={() => {
            onKeep()
            onClose()
          }}
        >
          Keep candidate {candidate.number}
        </Button>
      </div>
    </Dialog>
  )
}
