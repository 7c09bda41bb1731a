// What a person decides about runs side by side, and what the page knows anew afterwards.
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { wordsOf } from '@/api/http'
import { comparisonsOf, type Candidate, type Comparison } from '@/api/runs/comparisons'
import { toast } from '@/ui/toasts'
import { queries } from './queries'

/** What may be another one once the project has a candidate's state. */
const CHANGED = ['runs', 'checkpoints', 'diff', 'sessions', 'disk', 'state', 'inspect', 'files']

export function useComparisonActions(id: string) {
  const client = useQueryClient()
  const decided = (now: Comparison) => {
    client.setQueryData(queries.comparison(id, now.id).queryKey, now)
    for (const key of [...CHANGED, 'content', 'machine']) {
      void client.invalidateQueries({ queryKey: [key, id] })
    }
    // Not what each candidate has changed: they are gone.
    void client.invalidateQueries({ queryKey: queries.comparisons(id).queryKey, exact: true })
  }
  const again = () => void client.invalidateQueries({ queryKey: ['comparisons', id] })
  const keep = useMutation({
    mutationFn: ({ comparison, candidate }: { comparison: string; candidate: Candidate }) =>
      comparisonsOf(id).keep(comparison, candidate.runId),
    onSuccess: (now, { candidate }) => {
      decided(now)
      toast.success(
        `Candidate ${candidate.number} is kept`,
        'How the project was before is its newest checkpoint.',
      )
    },
    onError: (error, { candidate }) => {
      again()
      toast.error(`Candidate ${candidate.number} was not kept`, wordsOf(error))
    },
  })
  const drop = useMutation({
    mutationFn: (comparison: string) => comparisonsOf(id).drop(comparison),
    onSuccess: (now) => {
      decided(now)
      toast.success('The candidates are deleted', 'The project is as it was.')
    },
    onError: (error) => {
      again()
      toast.error('The candidates were not deleted', wordsOf(error))
    },
  })
  return { keep, drop }
}
