// The comparisons of a project: those that wait for a decision on top, what was decided folded away.
import type { Comparison } from '@/api/runs/comparisons'
import { isUndecided } from '@/api/runs/comparisons'
import { comparisonLook } from '@/components/comparison-words'
import { LookGlyph } from '@/components/project-state'
import { Ago } from '@/ui/time'
import { cx } from '@/util/class'
import { momentOf, plural } from '@/util/format'

export function ComparisonList({
  comparisons,
  from,
  onShow,
}: {
  comparisons: readonly Comparison[]
  /** What was looked at just before. */
  from: string | null
  onShow: (comparison: string) => void
}) {
  const open = comparisons.filter((one) => isUndecided(one))
  const decided = comparisons.filter((one) => !isUndecided(one))
  const rows = (some: readonly Comparison[]) =>
    some.map((one) => (
      <ComparisonRow
        key={one.id}
        comparison={one}
        focused={one.id === from}
        onShow={() => onShow(one.id)}
      />
    ))
  return (
    <>
      {open.length > 0 && (
        <ol aria-label="Comparisons" className="divide-y divide-line border-b bg-sunk">
          {rows(open)}
        </ol>
      )}
      {decided.length > 0 && (
        <details className="border-b" open={decided.some(({ id }) => id === from)}>
          <summary className="flex min-h-8 cursor-default items-center px-3 text-sm text-ink-3 hover:text-ink-2 max-md:min-h-11">
            {plural(decided.length, 'comparison')} decided
          </summary>
          <ol aria-label="Decided comparisons" className="divide-y divide-line border-t">
            {rows(decided)}
          </ol>
        </details>
      )}
    </>
  )
}

function ComparisonRow({
  comparison,
  focused,
  onShow,
}: {
  comparison: Comparison
  focused: boolean
  onShow: () => void
}) {
  const { prompt, candidates, createdAt } = comparison
  const look = comparisonLook(comparison)
  return (
    <li className="hover:bg-hover">
      <button
        type="button"
        // Who came back from it goes on from it.
        // oxlint-disable-next-line jsx-a11y/no-autofocus
        autoFocus={focused}
        onClick={onShow}
        className="flex min-h-12 w-full min-w-0 items-center gap-2.5 px-3 py-1 text-left -outline-offset-2"
      >
        <LookGlyph look={look} />
        <span className="min-w-0 grow">
          <span className="block truncate" title={prompt.slice(0, 1000)}>
            {prompt.slice(0, 400)}
          </span>
          <span className="tnum block truncate text-sm text-ink-3">
            {plural(candidates.length, 'run')} side by side ·{' '}
            <span className={cx(look.tone === 'amber' && 'text-amber-text')}>{look.word}</span>
          </span>
        </span>
        <Ago at={momentOf(createdAt)} className="shrink-0 pl-1 text-sm text-ink-3" />
      </button>
    </li>
  )
}
