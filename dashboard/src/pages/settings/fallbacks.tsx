// Models that stand in for others while a provider is down, for all projects.
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { setFallbacksOfAll, type Fallbacks } from '@/api/fallbacks'
import { wordsOf } from '@/api/http'
import { ChainList } from '@/components/fallbacks/chain-list'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Field, Input } from '@/ui/field'
import { Failure, Skeleton } from '@/ui/state'
import { toast } from '@/ui/toasts'

type Change = Parameters<typeof setFallbacksOfAll>[0]

export function FallbackChains({ admin }: { admin: boolean }) {
  const client = useQueryClient()
  const { data, error, isPending, refetch } = useQuery(queries.fallbacks)
  const save = useMutation({
    mutationFn: setFallbacksOfAll,
    onSuccess: (next) => client.setQueryData(queries.fallbacks.queryKey, next),
  })
  const quietly = (change: Change) =>
    save.mutate(change, { onError: (e) => toast.error('It was not saved', wordsOf(e)) })
  if (isPending) return <Skeleton widths={[80, 60]} words="Reading the fallbacks…" />
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
  return (
    <div className="flex flex-col gap-4">
      <ChainList
        rows={Object.entries(data.chains).map(([model, others]) => {
          const started = data.fromFile.includes(model)
          // What the server was started with is still there: nobody is what takes its place.
          const does = () => quietly({ chains: { [model]: started ? [] : null } })
          const note = started ? { note: 'as the server was started' } : {}
          return { model, others, ...note, action: { words: 'Remove', does } }
        })}
        unlisted={data.unlisted}
        readOnly={!admin}
        busy={save.isPending}
        empty="No model has another to stand in for it: while its provider is down, work waits."
        onSave={(chains) => save.mutateAsync({ chains })}
      />
      <FirstByte data={data} admin={admin} onSave={quietly} />
    </div>
  )
}

function FirstByte({
  data,
  admin,
  onSave,
}: {
  data: Fallbacks
  admin: boolean
  onSave: (change: Change) => void
}) {
  const [text, setText] = useState<string | null>(null)
  const shown = text ?? String(data.firstByteS)
  const keep = () => {
    const seconds = Number(shown)
    if (text !== null && shown.trim() && seconds !== data.firstByteS) {
      onSave({ firstByteS: seconds })
    }
    setText(null)
  }
  return (
    <div className="max-w-64">
      <Field
        label="A stream may take so long to begin"
        note="Seconds, then the next model is asked; 0 for as long as it takes."
      >
        {(ids) => (
          <Input
            {...ids}
            type="number"
            min={0}
            max={300}
            disabled={!admin}
            value={shown}
            onChange={(event) => setText(event.target.value)}
            onBlur={keep}
            onKeyDown={(event) => {
              if (event.key === 'Enter') keep()
            }}
          />
        )}
      </Field>
    </div>
  )
}
