// A thing of the inspect database as a page of facts.
import type { ReactNode } from 'react'
import { Glyph, type Shape, type Tone } from '@/ui/glyph'

export function Facts({
  name,
  description,
  state,
  facts,
  action,
}: {
  name: string
  description: string | null | undefined
  state: { word: string; shape: Shape; tone: Tone }
  /** What there is beside its state; a null fact is left out. */
  facts: readonly (readonly [string, ReactNode])[]
  action?: ReactNode
}) {
  return (
    <div className="h-full overflow-y-auto px-6 py-5">
      <div className="mx-auto max-w-[72ch]">
        <h2 className="text-lg font-semibold">{name}</h2>
        {description && <p className="mt-1 text-md text-pretty text-ink-2">{description}</p>}
        <dl className="mt-4 grid grid-cols-[104px_1fr] gap-y-2 border-t pt-4">
          <dt className="text-ink-3">State</dt>
          <dd className="flex items-center gap-1.5">
            <Glyph shape={state.shape} tone={state.tone} />
            {state.word}
          </dd>
          {facts.map(
            ([term, fact]) =>
              fact !== null && (
                <div key={term} className="contents">
                  <dt className="text-ink-3">{term}</dt>
                  <dd className="tnum min-w-0 break-words">{fact}</dd>
                </div>
              ),
          )}
        </dl>
        {action && <div className="mt-5 flex flex-wrap gap-2">{action}</div>}
      </div>
    </div>
  )
}
