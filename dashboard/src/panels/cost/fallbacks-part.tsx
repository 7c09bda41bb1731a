// Models that stand in for others in this project, and what holds of it for all projects.
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { setFallbacksOf, type ChainChanges } from '@/api/fallbacks'
import { wordsOf } from '@/api/http'
import { ChainList } from '@/components/fallbacks/chain-list'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Failure, Skeleton } from '@/ui/state'
import { toast } from '@/ui/toasts'

export function FallbacksPart() {
  const { id } = useProject()
  return (
    <section aria-labelledby="fallbacks-part" className="mt-5 border-t pt-3">
      <h3 id="fallbacks-part" className="font-semibold">
        Fallbacks
      </h3>
      <p className="text-sm text-pretty text-ink-3">
        Models that are asked in another’s place while its provider is down. What this project says
        counts before what is set for all. The one that answers is paid, and named in the answer.
      </p>
      <div className="mt-2">
        <OwnChains id={id} />
      </div>
    </section>
  )
}

function OwnChains({ id }: { id: string }) {
  const client = useQueryClient()
  const { data, error, isPending, refetch } = useQuery(queries.fallbacksOf(id))
  const save = useMutation({
    mutationFn: (chains: ChainChanges) => setFallbacksOf(id, chains),
    onSuccess: (next) => client.setQueryData(queries.fallbacksOf(id).queryKey, next),
  })
  const quietly = (chains: ChainChanges) =>
    save.mutate(chains, { onError: (e) => toast.error('It was not saved', wordsOf(e)) })
  if (isPending) return <Skeleton widths={[80, 60]} />
  if (!data) {
    return (
      <Failure
        compact
        title="The fallbacks could not be read"
        message={wordsOf(error)}
        kept="They hold all the same."
        action={<Button onClick={() => void refetch()}>Try again</Button>}
      />
    )
  }
  const own = Object.entries(data.chains).map(([model, others]) => ({
    model,
    others,
    action: { words: 'Remove', does: () => quietly({ [model]: null }) },
  }))
  const inherited = Object.entries(data.inherited).map(([model, others]) => ({
    model,
    others,
    note: 'set for all projects',
    action: { words: 'Not here', does: () => quietly({ [model]: [] }) },
  }))
  return (
    <ChainList
      rows={[...own, ...inherited]}
      unlisted={data.unlisted}
      readOnly={false}
      busy={save.isPending}
      empty="No model has another to stand in for it here: while its provider is down, work waits."
      onSave={(chains) => save.mutateAsync(chains)}
    />
  )
}
