// What a person does to checkpoints, and what the page knows anew afterwards.
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { wordsOf } from '@/api/http'
import { machineOf } from '@/api/machine'
import type { Checkpoint, CheckpointList, KeepRule } from '@/api/machine-types'
import { toast } from '@/ui/toasts'
import { queries } from './queries'

export function useCheckpointActions(id: string) {
  const client = useQueryClient()
  const { queryKey } = queries.checkpoints(id)
  const change = (next: (list: CheckpointList) => CheckpointList) => {
    client.setQueryData<CheckpointList>(queryKey, (list) => list && next(list))
    void client.invalidateQueries({ queryKey })
  }
  const keep = useMutation({
    mutationFn: (label: string) => machineOf(id).keep(label.trim() || undefined),
    onSuccess: (made) => {
      change((list) => ({ ...list, checkpoints: [made, ...list.checkpoints] }))
      toast.success(made.label ? `Kept: ${made.label}` : 'Checkpoint kept')
    },
    onError: (error) => toast.error('No checkpoint was taken', wordsOf(error)),
  })
  const relabel = useMutation({
    mutationFn: ({ checkpoint, label }: { checkpoint: Checkpoint; label: string }) =>
      machineOf(id).relabel(checkpoint.id, label.trim() || null),
    onSuccess: (changed) =>
      change((list) => ({
        ...list,
        checkpoints: list.checkpoints.map((each) => (each.id === changed.id ? changed : each)),
      })),
    onError: (error) => toast.error('The label was not changed', wordsOf(error)),
  })
  const remove = useMutation({
    mutationFn: (checkpoint: Checkpoint) => machineOf(id).removeCheckpoint(checkpoint.id),
    onSuccess: (_, gone) => {
      change((list) => ({
        ...list,
        checkpoints: list.checkpoints.filter((each) => each.id !== gone.id),
      }))
      void client.invalidateQueries({ queryKey: queries.disk(id).queryKey })
      toast.success('The checkpoint was deleted')
    },
    onError: (error) => toast.error('The checkpoint was not deleted', wordsOf(error)),
  })
  const setRule = useMutation({
    mutationFn: (rule: KeepRule & { automatic?: boolean }) => machineOf(id).setRule(rule),
    onSuccess: ({ automatic, last, hourly, daily }) =>
      change((list) => ({ ...list, automatic, rule: { last, hourly, daily } })),
  })
  return { keep, relabel, remove, setRule }
}
