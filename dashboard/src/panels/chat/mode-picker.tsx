// Whether the agent builds, or only looks and proposes a plan.
import type { Mode } from '@/api/bridge-types'
import type { Transcript } from '@/api/transcript/types'
import { Icon } from '@/ui/icons'
import { Menu } from '@/ui/menu'
import { cx } from '@/util/class'

const MODES: readonly { mode: Mode; word: string; note: string }[] = [
  { mode: 'build', word: 'Build', note: 'changes things' },
  { mode: 'plan', word: 'Plan', note: 'changes nothing, asks first' },
]

export function ModePicker({
  transcript,
  disabled,
  onPick,
}: {
  transcript: Transcript | null
  disabled: boolean
  onPick: (mode: Mode) => Promise<void>
}) {
  const current = transcript?.mode ?? 'build'
  const word = current === 'plan' ? 'Plan' : 'Build'
  return (
    <Menu
      items={MODES.map((each) => ({
        label: each.word,
        note: each.note,
        checked: each.mode === current,
        onSelect: () => {
          if (each.mode !== current) void onPick(each.mode)
        },
      }))}
    >
      <button
        type="button"
        disabled={disabled}
        title="Mode"
        aria-label={`Mode: ${word}`}
        className="flex h-7 shrink-0 items-center gap-1 rounded-md px-1.5 text-sm text-ink-2 hover:bg-hover disabled:opacity-45 max-md:h-9"
      >
        <Icon
          name={current === 'plan' ? 'list' : 'edit'}
          width={14}
          height={14}
          className="text-ink-3"
        />
        <span className={cx(current === 'build' && 'max-md:hidden')}>{word}</span>
      </button>
    </Menu>
  )
}
