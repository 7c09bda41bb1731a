// How much the model thinks before it answers.
import { useQuery } from '@tanstack/react-query'
import type { Transcript } from '@/api/transcript/types'
import { THINKING_LEVELS } from '@/api/types'
import { queries } from '@/hooks/queries'
import { Icon } from '@/ui/icons'
import { Menu } from '@/ui/menu'

const WORDS: Record<string, string> = {
  off: 'No thinking',
  minimal: 'Minimal',
  low: 'Low',
  medium: 'Medium',
  high: 'High',
  xhigh: 'Extra high',
}

export function ThinkingPicker({
  transcript,
  disabled,
  onPick,
}: {
  transcript: Transcript | null
  disabled: boolean
  onPick: (change: { thinkingLevel: string }) => Promise<void>
}) {
  const { data: models } = useQuery(queries.models)
  const current = transcript?.model ?? models?.default
  const info = models?.models.find((m) => m.provider === current?.provider && m.id === current.id)
  // A listed model that does not think needs no choice; an unlisted one may.
  if (current?.provider === 'demo' || (info && !info.reasoning)) return null
  const level = transcript?.thinkingLevel ?? models?.defaultThinkingLevel ?? 'off'
  return (
    <Menu
      items={THINKING_LEVELS.map((each) => ({
        label: WORDS[each] ?? each,
        checked: each === level,
        onSelect: () => void onPick({ thinkingLevel: each }),
      }))}
    >
      <button
        type="button"
        disabled={disabled}
        title="Thinking"
        aria-label={`Thinking: ${WORDS[level] ?? level}`}
        className="flex h-7 shrink-0 items-center gap-1 rounded-md px-1.5 text-sm text-ink-2 hover:bg-hover disabled:opacity-45 max-md:h-9"
      >
        <Icon name="think" width={14} height={14} className="text-ink-3" />
        <span className="max-md:hidden">{WORDS[level] ?? level}</span>
      </button>
    </Menu>
  )
}
