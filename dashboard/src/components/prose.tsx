// Markdown, loaded on first use; until then the plain text in the same place.
import { lazy, Suspense } from 'react'

const load = () => import('./markdown')
const Markdown = lazy(load)
// Begins to load beside what shows it. What fails here is tried again there.
load().catch(() => {})

export function Prose({ text }: { text: string }) {
  return (
    <Suspense fallback={<div className="prose whitespace-pre-wrap">{text}</div>}>
      <Markdown text={text} />
    </Suspense>
  )
}
