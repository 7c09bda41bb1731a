// What waits to be delivered: read it, change it, move it, drop it, let it steer.
import { useState } from 'react'
import type { Transcript } from '@/api/transcript/types'
import { IconButton } from '@/ui/button'
import type { ChatActions } from './chat-actions'

type Lane = 'steering' | 'followUp'

export function QueueList({
  transcript,
  actions,
}: {
  transcript: Transcript
  actions: ChatActions
}) {
  const { steering, followUp } = transcript
  if (steering.length + followUp.length === 0) return null

  const put = (change: Partial<Record<Lane, string[]>>) =>
    void actions.setQueue(change.steering ?? steering, change.followUp ?? followUp)
  const without = (list: readonly string[], at: number) => list.filter((_, index) => index !== at)
  const swapped = (list: readonly string[], at: number) => {
    const next = [...list]
    ;[next[at - 1], next[at]] = [next[at] as string, next[at - 1] as string]
    return next
  }

  return (
    <section aria-label="Waiting" className="mb-1.5 rounded-lg border bg-surface">
      <ul className="divide-y divide-line">
        {steering.map((text, at) => (
          <Waiting
            // Two lines may say the same: the place tells them apart.
            // oxlint-disable-next-line react/no-array-index-key
            key={`s${at}:${text}`}
            text={text}
            when="Next"
            onEdit={(next) =>
              put({ steering: steering.map((each, i) => (i === at ? next : each)) })
            }
            onDrop={() => put({ steering: without(steering, at) })}
            {...(at > 0 ? { onUp: () => put({ steering: swapped(steering, at) }) } : {})}
          />
        ))}
        {followUp.map((text, at) => (
          <Waiting
            // oxlint-disable-next-line react/no-array-index-key
            key={`f${at}:${text}`}
            text={text}
            when="Then"
            onEdit={(next) =>
              put({ followUp: followUp.map((each, i) => (i === at ? next : each)) })
            }
            onDrop={() => put({ followUp: without(followUp, at) })}
            onSteer={() => put({ steering: [...steering, text], followUp: without(followUp, at) })}
            {...(at > 0 ? { onUp: () => put({ followUp: swapped(followUp, at) }) } : {})}
          />
        ))}
      </ul>
    </section>
  )
}

function Waiting({
  text,
  when,
  onEdit,
  onDrop,
  onUp,
  onSteer,
}: {
  text: string
  when: string
  onEdit: (text: string) => void
  onDrop: () => void
  onUp?: () => void
  onSteer?: () => void
}) {
  const [draft, setDraft] = useState<string | null>(null)
  const save = () => {
    if (draft?.trim() && draft.trim() !== text) onEdit(draft.trim())
    setDraft(null)
  }
  return (
    <li className="flex min-h-8 items-center gap-2 pr-0.5 pl-3">
      <span className="w-9 shrink-0 text-sm text-ink-3">{when}</span>
      {draft === null ? (
        <span className="min-w-0 grow truncate" title={text}>
          {text}
        </span>
      ) : (
        <input
          aria-label="Waiting message"
          // The person asked to edit this line.
          // oxlint-disable-next-line jsx-a11y/no-autofocus
          autoFocus
          value={draft}
          onChange={(event) => setDraft(event.target.value)}
          onBlur={save}
          onKeyDown={(event) => {
            if (event.key === 'Enter') save()
            if (event.key === 'Escape') setDraft(null)
          }}
          className="h-6 min-w-0 grow rounded-sm border bg-ground px-1.5"
        />
      )}
      {onUp && <IconButton icon="arrowUp" label="Earlier" onClick={onUp} />}
      {onSteer && <IconButton icon="steer" label="Steer with it" onClick={onSteer} />}
      <IconButton icon="edit" label="Change" onClick={() => setDraft(text)} />
      <IconButton icon="close" label="Drop" onClick={onDrop} />
    </li>
  )
}
