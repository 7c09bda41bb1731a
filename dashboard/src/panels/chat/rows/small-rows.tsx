// The rows that need few words: thinking, notes, summaries, the demo's label.
import type { NoteRow, TextRow } from '@/api/transcript/types'
import { Prose } from '@/components/prose'
import { Icon } from '@/ui/icons'
import { cx } from '@/util/class'

type Toggle = (id: string, open: boolean) => void

function Disclosure({
  id,
  open,
  onToggle,
  label,
  hint,
}: {
  id: string
  open: boolean
  onToggle: Toggle
  label: string
  hint?: string
}) {
  return (
    <button
      type="button"
      aria-expanded={open}
      onClick={() => onToggle(id, !open)}
      className="-ml-1.5 flex h-7 max-w-full items-center gap-1.5 rounded-md pr-2 pl-1 text-ink-3 hover:bg-hover hover:text-ink-2 max-md:h-10"
    >
      <Icon name="chevron" width={12} height={12} className={cx(open && 'rotate-90')} />
      <span className={cx(hint ? 'shrink-0' : 'truncate')}>{label}</span>
      {hint && !open && <span className="truncate">{hint}</span>}
    </button>
  )
}

export function ThinkingRow({
  row,
  open,
  onToggle,
}: {
  row: TextRow
  open: boolean
  onToggle: Toggle
}) {
  return (
    <div>
      <Disclosure
        id={row.id}
        open={open}
        onToggle={onToggle}
        label={row.streaming ? 'Thinking' : 'Thought'}
        hint={row.text.replaceAll(/\s+/g, ' ').slice(0, 160)}
      />
      {open && (
        <div className="mt-1 mb-2 max-w-[72ch] border-l pl-3 break-words whitespace-pre-wrap text-ink-2">
          {row.text}
        </div>
      )}
    </div>
  )
}

export function SummaryRow({
  row,
  open,
  onToggle,
}: {
  row: NoteRow
  open: boolean
  onToggle: Toggle
}) {
  return (
    <div className="border-y py-1">
      <Disclosure
        id={row.id}
        open={open}
        onToggle={onToggle}
        label="What came before was summed up for the model"
      />
      {open && (
        <div className="mt-1 mb-2 pl-5 text-ink-2">
          <Prose text={row.text} />
        </div>
      )}
    </div>
  )
}

export function NoteRowView({
  row,
  open,
  onToggle,
}: {
  row: NoteRow
  open: boolean
  onToggle: Toggle
}) {
  // What the loop tells the model: one line for people, and below it what a check printed.
  const told = /^\[([^\n]+)\]\n\n([\s\S]+)$/.exec(row.text)
  if (told) {
    return (
      <div>
        <Disclosure id={row.id} open={open} onToggle={onToggle} label={told[1] ?? ''} />
        {open && (
          <pre className="mt-1 mb-2 max-h-80 overflow-auto rounded-md border bg-sunk px-3 py-2 text-sm break-words whitespace-pre-wrap">
            {told[2]}
          </pre>
        )}
      </div>
    )
  }
  return (
    <div className="min-h-7 py-1 break-words text-ink-3">
      {row.text.replace(/^\[(.*)\]$/s, '$1')}
    </div>
  )
}

/** Stands above everything that the scripted model says. */
export function DemoRow({ row }: { row: NoteRow }) {
  return (
    <div className="flex h-5 items-center">
      <span className="rounded-sm bg-amber-soft px-1.5 text-xs text-amber-text" title={row.text}>
        Demo, scripted
      </span>
    </div>
  )
}
