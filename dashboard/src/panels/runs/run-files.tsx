// The files that a run changed, and those that it looked at, each once.
import type { Touched } from '@/api/runs/course'
import { touchedWords } from '@/components/run-words'
import { useOpenPanel } from '@/hooks/dock'
import { plural } from '@/util/format'

export function RunFiles({
  files,
  more,
}: {
  files: ReadonlyMap<string, Touched>
  /** There were others, of which nothing is kept. */
  more: boolean
}) {
  const open = useOpenPanel()
  const told = [...files].map(([path, touched]) => ({ path, words: touchedWords(touched) }))
  const changed = told.filter(({ words }) => words !== '')
  const looked = told.filter(({ words }) => words === '')
  if (told.length === 0) return null
  return (
    <section aria-label="Files">
      <h3 className="mb-1 flex items-baseline gap-2 font-semibold">
        Files
        <span className="tnum text-sm font-normal text-ink-3">
          {changed.length === 0 ? 'none changed' : `${changed.length} changed`}
        </span>
      </h3>
      <ul>
        {changed.map(({ path, words }) => (
          <li key={path} className="flex min-h-6 items-baseline gap-2 max-md:min-h-11">
            <button
              type="button"
              onClick={() => open({ kind: 'files', path })}
              className="min-w-0 text-left font-mono text-sm break-all text-blue hover:underline"
            >
              {path}
            </button>
            <span className="tnum ml-auto shrink-0 text-sm text-ink-3">{words}</span>
          </li>
        ))}
      </ul>
      {looked.length > 0 && (
        <details>
          <summary className="w-fit text-sm text-ink-3 hover:text-ink-2">
            Looked at {plural(looked.length, 'other path')}
          </summary>
          <ul className="mt-0.5">
            {looked.map(({ path }) => (
              <li key={path} className="font-mono text-sm break-all text-ink-2">
                {path || 'the project’s folder'}
              </li>
            ))}
          </ul>
        </details>
      )}
      {more && <p className="text-sm text-ink-3">And others, which the conversation has.</p>}
    </section>
  )
}
