// The steps that the agent works through: in a line above the composer, which opens to all of them.
import { useState } from 'react'
import type { TodoItem } from '@/api/bridge-types'
import type { Transcript } from '@/api/transcript/types'
import { useView } from '@/stores/view'
import { IconButton } from '@/ui/button'
import { Glyph, type Shape, type Tone } from '@/ui/glyph'
import { Icon } from '@/ui/icons'
import { cx } from '@/util/class'

const LOOKS: Record<TodoItem['status'], { shape: Shape; tone: Tone; word: string }> = {
  pending: { shape: 'ring', tone: 'quiet', word: 'To do' },
  in_progress: { shape: 'half', tone: 'moss', word: 'Now' },
  completed: { shape: 'tick', tone: 'moss', word: 'Done' },
}

export function TodoList({ transcript, working }: { transcript: Transcript; working: boolean }) {
  const { steps: open, change } = useView()
  const { todos } = transcript
  const [hidden, setHidden] = useState<readonly TodoItem[] | null>(null)
  const done = todos.filter((item) => item.status === 'completed').length
  const now = todos.find((item) => item.status === 'in_progress')
  const next = now ?? todos.find((item) => item.status === 'pending')
  // A list that is done is told by its row; one that was hidden comes back when it changes.
  if (!next || hidden === todos) return null
  const look = LOOKS[next.status]

  return (
    <section aria-label="Steps" className="mb-1.5 rounded-lg border bg-surface">
      <div className="flex items-center pr-0.5">
        <button
          type="button"
          aria-expanded={open}
          onClick={() => change({ steps: !open })}
          className="flex h-8 min-w-0 grow items-center gap-2 rounded-lg pr-2 pl-2.5 text-left hover:bg-hover max-md:h-11"
        >
          <Icon
            name="chevron"
            width={12}
            height={12}
            className={cx('text-ink-3', open && 'rotate-90')}
          />
          {open ? (
            <span className="text-ink-2">Steps</span>
          ) : (
            <>
              <Glyph shape={look.shape} tone={look.tone} title={look.word} />
              <span className="min-w-0 truncate">{next.content}</span>
            </>
          )}
          <span className="tnum ml-auto shrink-0 text-sm text-ink-3">
            {done} of {todos.length} done
          </span>
        </button>
        {!working && (
          <IconButton icon="close" label="Hide the steps" onClick={() => setHidden(todos)} />
        )}
      </div>
      {open && <TodoItems items={todos} className="max-h-56 overflow-y-auto border-t py-1" />}
    </section>
  )
}

export function TodoItems({
  items,
  className,
}: {
  items: readonly TodoItem[]
  className?: string
}) {
  return (
    <ol
      aria-label="Steps"
      // A long list is scrolled by keyboard too.
      // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
      tabIndex={0}
      className={cx('-outline-offset-2', className)}
    >
      {items.map((item, at) => {
        const { shape, tone, word } = LOOKS[item.status]
        return (
          <li
            // Steps have no identity but their place.
            // oxlint-disable-next-line react/no-array-index-key
            key={at}
            className="flex min-h-7 items-baseline gap-2 px-2.5 py-1"
          >
            <span className="relative top-px">
              <Glyph shape={shape} tone={tone} />
            </span>
            <span
              className={cx(
                'min-w-0 grow break-words',
                item.status === 'completed' && 'text-ink-3',
                item.status === 'in_progress' && 'font-medium',
              )}
            >
              {item.content}
            </span>
            <span className="shrink-0 text-sm text-ink-3">{word}</span>
          </li>
        )
      })}
    </ol>
  )
}
