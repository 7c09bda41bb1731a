// A diff, line by line; long ones open to the rest. A file that is all new is shown as what it is: its
// text, not a wall of additions.
import { useState } from 'react'
import { cx } from '@/util/class'
import type { DiffLine } from './diff-lines'

/** Lines drawn at first. */
const LINES_MAX = 40
/** Lines added by each "more". */
const LINES_STEP = 500

export function DiffView({ lines }: { lines: readonly DiffLine[] }) {
  const [shown, setShown] = useState(LINES_MAX)
  const rest = lines.length - shown
  const fresh = lines.every((line) => line.sign === '+')
  return (
    <div className="overflow-x-auto font-mono text-sm leading-[18px]">
      <div className="w-max min-w-full py-1">
        {lines.slice(0, shown).map((line, index) =>
          line.sign === '#' ? (
            <div
              // oxlint-disable-next-line react/no-array-index-key
              key={index}
              className={cx('px-3 py-1 font-medium', index > 0 && 'mt-1 border-t')}
            >
              {line.text}
            </div>
          ) : line.sign === '@' ? (
            // Lines of a diff have no identity but their place.
            // oxlint-disable-next-line react/no-array-index-key
            <div key={index} className="px-3 text-ink-3">
              ⋯ {line.text}
            </div>
          ) : (
            <div
              // oxlint-disable-next-line react/no-array-index-key
              key={index}
              className={cx(
                'flex whitespace-pre',
                line.sign === '+' && !fresh && 'bg-add-soft',
                line.sign === '-' && 'bg-remove-soft',
              )}
            >
              <span className="tnum w-12 shrink-0 pr-2 text-right text-ink-3 select-none">
                {line.line}
              </span>
              {!fresh && (
                <span
                  className={cx(
                    'w-4 shrink-0',
                    line.sign === '+' && 'text-moss-text',
                    line.sign === '-' && 'text-red-text',
                  )}
                >
                  {line.sign === '-' ? '−' : line.sign}
                </span>
              )}
              <span className="pr-4">{line.text}</span>
            </div>
          ),
        )}
      </div>
      {rest > 0 && (
        <button
          type="button"
          onClick={() => setShown(shown + LINES_STEP)}
          className="block w-full border-t bg-surface px-3 py-1 text-left font-sans text-blue hover:underline"
        >
          {rest} more lines
        </button>
      )}
    </div>
  )
}
