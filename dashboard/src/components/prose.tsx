// Markdown, loaded on first use; until then the plain text in the same place.
import { lazy, Suspense } from 'react'

const Markdown = lazy(() => import('./markdown'))

export function Prose({ text }: { text: string }) {
  return (
    <Suspense fallback={<div className="prose whitespace-pre-wrap">{text}</div>}>
      <Markdown text={text} />
    </Suspense>
  )
}
