// One checkpoint in the timeline: when, why, its name. Opened, what differs from it now.
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { wordsOf } from '@/api/http'
import type { Checkpoint, Place } from '@/api/machine-types'
import { ChangeList } from '@/components/change-list'
import { CAUSES } from '@/components/checkpoint-words'
import { sessionName } from '@/components/session-name'
import { useCheckpointActions } from '@/hooks/checkpoints'
import { useProject, useSession } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { useAsking } from '@/stores/asking'
import { Button, IconButton } from '@/ui/button'
import { Confirm } from '@/ui/dialog'
import { Icon } from '@/ui/icons'
import { Menu, RightClick, type MenuList } from '@/ui/menu'
import { Failure, Skeleton } from '@/ui/state'
import { cx } from '@/util/class'
import { absolute, plural, shortClock } from '@/util/format'

export function CheckpointRow({
  checkpoint,
  open,
  canFork,
  onToggle,
}: {
  checkpoint: Checkpoint
  open: boolean
  canFork: boolean
  onToggle: () => void
}) {
  const { id } = useProject()
  const { relabel, remove } = useCheckpointActions(id)
  const ask = useAsking((state) => state.ask)
  const [naming, setNaming] = useState(false)
  const [deleting, setDeleting] = useState(false)
  const { createdAt, cause, label, message } = checkpoint
  const { icon, title, word } = CAUSES[cause] ?? CAUSES.manual
  const restore = () => ask({ kind: 'restore', checkpointId: checkpoint.id })
  const fork = () => ask({ kind: 'fork', checkpointId: checkpoint.id })
  const items: MenuList = [
    { label: 'Go back to it…', icon: 'undo', onSelect: restore },
    ...(canFork ? [{ label: 'Fork from it…', icon: 'fork' as const, onSelect: fork }] : []),
    {
      label: label ? 'Change the label' : 'Give it a label',
      icon: 'edit',
      // The menu gives the focus back to its button when it closes: the field comes after that.
      onSelect: () => setTimeout(() => setNaming(true)),
    },
    null,
    { label: 'Delete…', icon: 'trash', danger: true, onSelect: () => setDeleting(true) },
  ]

  return (
    <li className={cx(open && 'bg-ground')}>
      <RightClick items={items}>
        <div className="group relative flex min-h-9 items-center hover:bg-hover has-focus-visible:bg-hover max-md:min-h-11">
          <button
            type="button"
            aria-expanded={open}
            onClick={onToggle}
            className="flex min-h-9 min-w-0 grow items-center gap-2.5 pl-3 text-left -outline-offset-2 max-md:min-h-11"
          >
            <time
              dateTime={new Date(createdAt).toISOString()}
              title={absolute(createdAt)}
              className="tnum w-9 shrink-0 text-sm text-ink-3"
            >
              {shortClock(createdAt)}
            </time>
            <span title={title} className={cx('shrink-0', label ? 'text-moss-text' : 'text-ink-3')}>
              <Icon name={icon} />
              {(label !== null || message !== null) && <span className="sr-only">{title}.</span>}
            </span>
            {!naming && <Title checkpoint={checkpoint} />}
            {!naming && (label !== null || message !== null) && (
              <span className="ml-auto shrink-0 text-sm text-ink-3 max-sm:hidden">{word}</span>
            )}
          </button>
          {naming ? (
            <LabelField
              label={label ?? ''}
              onDone={(text) => {
                setNaming(false)
                if (text !== null && text.trim() !== (label ?? '')) {
                  relabel.mutate({ checkpoint, label: text })
                }
              }}
            />
          ) : (
            <span className="flex shrink-0 items-center pr-1 pl-2">
              <span className="flex opacity-0 group-hover:opacity-100 focus-within:opacity-100 max-md:hidden">
                <IconButton icon="undo" label="Go back to it" onClick={restore} />
                {canFork && <IconButton icon="fork" label="Fork from it" onClick={fork} />}
              </span>
              <Menu items={items} align="end">
                <IconButton
                  icon="more"
                  label={`More for the checkpoint of ${shortClock(createdAt)}`}
                />
              </Menu>
            </span>
          )}
        </div>
      </RightClick>
      {open && (
        <Since checkpoint={checkpoint} canFork={canFork} onRestore={restore} onFork={fork} />
      )}
      <Confirm
        open={deleting}
        title="Delete this checkpoint?"
        touches={`Nobody can go back to ${absolute(createdAt)} any more. What the project is now stays as it is.`}
        verb="Delete"
        onConfirm={() => remove.mutate(checkpoint)}
        onClose={() => setDeleting(false)}
      />
    </li>
  )
}

function Title({ checkpoint }: { checkpoint: Checkpoint }) {
  const { label, cause, message } = checkpoint
  const { title } = CAUSES[cause] ?? CAUSES.manual
  if (!message)
    return <span className={cx('truncate', label && 'font-medium')}>{label ?? title}</span>
  return (
    <span className="min-w-0 truncate">
      {label && <span className="mr-2 font-medium">{label}</span>}
      <Message place={message} quiet={label !== null} />
    </span>
  )
}

/** The words before which it was taken. Of a branch that was left there are none here any more. */
function Message({ place, quiet }: { place: Place; quiet: boolean }) {
  const { id } = useProject()
  const view = useSession(place.sessionId)
  const { data } = useQuery(queries.sessions(id))
  const row =
    view.state === 'ready'
      ? view.transcript.rows.find((each) => each.kind === 'user' && each.id === place.leafEntryId)
      : undefined
  if (row?.kind === 'user' && row.text) {
    return (
      <span className={cx(quiet && 'text-ink-3')} title={row.text}>
        “{row.text.replaceAll(/\s+/g, ' ')}”
      </span>
    )
  }
  const session = data?.sessions.find((each) => each.id === place.sessionId)
  return (
    <span className="text-ink-2">
      Before a prompt{session ? ` in ${sessionName(session)}` : ''}
    </span>
  )
}

function LabelField({ label, onDone }: { label: string; onDone: (text: string | null) => void }) {
  const [text, setText] = useState(label)
  return (
    <input
      aria-label="Label"
      // The person asked for this field just now.
      // oxlint-disable-next-line jsx-a11y/no-autofocus
      autoFocus
      value={text}
      placeholder="Label"
      onFocus={(event) => event.target.select()}
      onChange={(event) => setText(event.target.value)}
      onBlur={() => onDone(text)}
      onKeyDown={(event) => {
        if (event.key === 'Enter') event.currentTarget.blur()
        if (event.key === 'Escape') onDone(null)
      }}
      className="mr-2 ml-2 h-7 min-w-0 grow-8 rounded-md border border-moss bg-surface px-2"
    />
  )
}

function Since({
  checkpoint,
  canFork,
  onRestore,
  onFork,
}: {
  checkpoint: Checkpoint
  canFork: boolean
  onRestore: () => void
  onFork: () => void
}) {
  const { id } = useProject()
  const { data, error, isPending, isFetching, refetch } = useQuery(queries.diff(id, checkpoint.id))
  const moved = data?.affectedSessions.filter((session) => session.messagesAfter > 0) ?? []
  return (
    <div className="mx-3 mb-2 overflow-hidden rounded-md border bg-surface">
      <div className="flex flex-wrap items-center gap-2 border-b px-3 py-1.5">
        <span className="min-w-0 grow text-ink-2">
          {isPending || !data
            ? 'Compared with now'
            : data.changes.length === 0
              ? 'No file has changed since'
              : `${data.truncated ? 'More than ' : ''}${plural(data.changes.length, 'path')} changed since`}
          {moved.length > 0 &&
            `, ${plural(
              moved.reduce((sum, each) => sum + each.messagesAfter, 0),
              'message',
            )} said`}
        </span>
        <span className="flex gap-1.5">
          <IconButton
            icon="reload"
            label="Compare again"
            disabled={isFetching}
            onClick={() => void refetch()}
          />
          <Button icon="undo" onClick={onRestore}>
            Go back…
          </Button>
          {canFork && (
            <Button icon="fork" onClick={onFork}>
              Fork…
            </Button>
          )}
        </span>
      </div>
      {isPending ? (
        <Skeleton className="px-3 py-2" words="Comparing with now…" />
      ) : error && !data ? (
        <div className="p-2">
          <Failure compact title="It could not be compared" message={wordsOf(error)} />
        </div>
      ) : (
        <ChangeList
          checkpoint={checkpoint.id}
          changes={data?.changes ?? []}
          truncated={data?.truncated ?? false}
        />
      )}
    </div>
  )
}
