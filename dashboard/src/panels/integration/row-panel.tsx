// What the panels of one row of the inspect database share: finding the row, waiting for it, and saying
// that it is gone.
import { useQuery } from '@tanstack/react-query'
import { useEffect, type ReactNode } from 'react'
import type { Inspect } from '@/api/bridge-types'
import { useAskAgent } from '@/hooks/ask-agent'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Empty, Skeleton } from '@/ui/state'

export function RowPanel<Row extends { name: string }>({
  word,
  find,
  setTitle,
  children,
}: {
  word: 'integration' | 'service'
  find: (inspect: Inspect) => Row | undefined
  setTitle: (title: string) => void
  children: (row: Row) => ReactNode
}) {
  const { id } = useProject()
  const { data, isPending } = useQuery(queries.inspect(id))
  const row = data && find(data)
  const name = row?.name ?? (word === 'service' ? 'Service' : 'Integration')
  useEffect(() => setTitle(name), [name, setTitle])

  if (isPending) return <Skeleton className="p-5" />
  if (!row) {
    return (
      <Empty title={`This ${word} is gone`} drawing={false}>
        The agent removed it from the inspect database.
      </Empty>
    )
  }
  return children(row)
}

/** Puts the beginning of a question into the composer. */
export function AskButton({ about }: { about: string }) {
  const ask = useAskAgent()
  return (
    <Button icon="chat" onClick={() => ask(`About ${about}: `)}>
      Ask the agent about it
    </Button>
  )
}
