// A thing of the inspect database as a page of facts.
import type { ReactNode } from 'react'

export function Facts({
  name,
  description,
  facts,
  action,
}: {
  name: string
  description: string | null | undefined
  facts: readonly (readonly [string, ReactNode])[]
  action?: ReactNode
}) {
  return (
    <div className="h-full overflow-y-auto px-6 py-5">
      <div className="mx-auto max-w-[72ch]">
        <h2 className="text-lg font-semibold">{name}</h2>
        {description && <p className="mt-1 text-md text-pretty text-ink-2">{description}</p>}
        <dl className="mt-4 grid grid-cols-[104px_1fr] gap-y-2 border-t pt-4">
          {facts.map(([term, fact]) => (
            <div key={term} className="contents">
              <dt className="text-ink-3">{term}</dt>
              <dd className="min-w-0 break-words">{fact}</dd>
            </div>
          ))}
        </dl>
        {action && <div className="mt-5 flex flex-wrap gap-2">{action}</div>}
      </div>
    </div>
  )
}
