// Keeps a checkpoint of now, with a label if the person gives one.
import { useState } from 'react'
import { useCheckpointActions } from '@/hooks/checkpoints'
import { useProject } from '@/hooks/live'
import { Button } from '@/ui/button'

export function KeepBar({ live }: { live: boolean }) {
  const { id } = useProject()
  const { keep } = useCheckpointActions(id)
  const [label, setLabel] = useState('')
  return (
    <form
      className="flex h-10 shrink-0 items-center gap-2 border-b px-2 max-md:h-12"
      onSubmit={(event) => {
        event.preventDefault()
        if (!keep.isPending) keep.mutate(label, { onSuccess: () => setLabel('') })
      }}
    >
      <input
        value={label}
        onChange={(event) => setLabel(event.target.value)}
        aria-label="Label of the checkpoint"
        placeholder="Label, if you like"
        className="h-7 min-w-0 grow rounded-md bg-sunk px-2 max-md:h-9"
      />
      <Button
        type="submit"
        variant="primary"
        icon="pin"
        disabled={keep.isPending}
        title={live ? undefined : 'The machine stands still for a moment meanwhile.'}
      >
        {keep.isPending ? 'Keeping…' : 'Keep now'}
      </Button>
    </form>
  )
}
