// The end of a finished prompt: what changed, what ran, what it cost, how long it took.
import type { ReceiptRow } from '@/api/transcript/types'
import { useOpenPanel } from '@/hooks/dock'
import { Icon } from '@/ui/icons'
import { cx } from '@/util/class'
import { capital, count, duration, money, plural } from '@/util/format'

const REASONS: Record<string, string> = {
  aborted: 'Stopped',
  error: 'Failed',
  length: 'Cut off at the output limit',
}

export function ReceiptRowView({
  row,
  open,
  onToggle,
}: {
  row: ReceiptRow
  open: boolean
  onToggle: (id: string, open: boolean) => void
}) {
  const openPanel = useOpenPanel()
  const { receipt } = row
  const { usage, changed } = receipt
  const parts = [
    REASONS[receipt.reason],
    changed.length > 0 ? `changed ${plural(changed.length, 'file')}` : null,
    receipt.tools > 0 ? `ran ${plural(receipt.tools, 'tool')}` : null,
    receipt.demo
      ? 'demo, no cost'
      : usage.cost
        ? money(usage.cost.total)
        : usage.totalTokens > 0
          ? `${count(usage.totalTokens)} tokens, price unknown`
          : null,
    receipt.durationMs > 0
      ? `${receipt.about ? 'about ' : ''}${duration(receipt.durationMs)}`
      : null,
  ].filter((part) => part !== null && part !== undefined)
  const line = parts.join(' · ')

  return (
    <div className="border-t pt-1">
      <button
        type="button"
        aria-expanded={open}
        onClick={() => onToggle(row.id, !open)}
        className="tnum -ml-1.5 flex min-h-7 max-w-full items-center gap-1.5 rounded-md pr-2 pl-1 text-left text-sm text-ink-3 hover:bg-hover hover:text-ink-2 max-md:min-h-10"
      >
        <Icon name="chevron" width={12} height={12} className={cx(open && 'rotate-90')} />
        <span>{capital(line)}</span>
      </button>
      {open && (
        <div className="mb-1 ml-4 flex flex-col gap-2 border-l pl-3 text-sm text-ink-2">
          {changed.length > 0 && (
            <ul>
              {changed.map((path) => (
                <li key={path}>
                  <button
                    type="button"
                    onClick={() => openPanel({ kind: 'files', path })}
                    className="font-mono text-blue break-all hover:underline"
                  >
                    {path}
                  </button>
                </li>
              ))}
            </ul>
          )}
          <div className="tnum text-ink-3">
            {plural(receipt.turns, 'model call')}, {count(usage.input)} tokens in,{' '}
            {count(usage.output)} out
            {usage.cacheRead > 0 && `, ${count(usage.cacheRead)} from the cache`}
          </div>
        </div>
      )}
    </div>
  )
}
