// The person's words, set off by a thin rule; from each, the project can go back to before it, or be
// copied as it was then.
import { useQuery } from '@tanstack/react-query'
import { ORDER } from '@/api/transcript/plan'
import type { UserRow } from '@/api/transcript/types'
import { checkpointBefore } from '@/components/checkpoint-words'
import { useProject } from '@/hooks/live'
import { useMachineState } from '@/hooks/machine'
import { queries } from '@/hooks/queries'
import { useTreeActions } from '@/hooks/session-tree'
import { useAsking } from '@/stores/asking'
import { IconButton } from '@/ui/button'
import { Menu, RightClick, type MenuList } from '@/ui/menu'
import { toast } from '@/ui/toasts'
import { absolute } from '@/util/format'
import { copyText } from '@/util/plain-http'

export function UserRowView({
  row,
  sessionId,
  fixed,
  open,
  onToggle,
}: {
  row: UserRow
  sessionId: string
  /** Nothing is gone back to from here. */
  fixed: boolean
  open: boolean
  onToggle: (id: string, open: boolean) => void
}) {
  const isOrder = row.text.startsWith(ORDER)
  const items = useMessageMenu(row, sessionId, fixed)
  return (
    <RightClick items={items}>
      <div
        className="group relative border-l-2 border-moss py-0.5 pr-8 pl-3"
        title={absolute(row.at)}
      >
        <span className="sr-only">You: </span>
        {row.images.map((image, index) => (
          <img
            // Pictures of one message never change their order.
            // oxlint-disable-next-line react/no-array-index-key
            key={index}
            src={`data:${image.mimeType};base64,${image.data}`}
            alt={`attachment ${index + 1}`}
            className="mb-2 max-h-60 rounded-md border"
          />
        ))}
        <div className="max-w-[72ch] text-md break-words whitespace-pre-wrap">
          {isOrder && !open ? ORDER : row.text}
        </div>
        {isOrder && (
          <button
            type="button"
            aria-expanded={open}
            onClick={() => onToggle(row.id, !open)}
            className="min-h-7 text-sm text-blue hover:underline max-md:min-h-10"
          >
            {open ? 'Show less' : 'Show the plan in it'}
          </button>
        )}
        <span className="absolute top-0 right-0 opacity-0 group-hover:opacity-100 focus-within:opacity-100 has-data-[state=open]:opacity-100 max-md:opacity-100">
          <Menu items={items} align="end">
            <IconButton icon="more" label="More for this message" />
          </Menu>
        </span>
      </div>
    </RightClick>
  )
}

function useMessageMenu(row: UserRow, sessionId: string, fixed: boolean): MenuList {
  const { id } = useProject()
  const { data: list } = useQuery(queries.checkpoints(id))
  const { data: machine } = useQuery(queries.machine(id))
  const { closed } = useMachineState()
  const { goBack, copyUpTo } = useTreeActions(sessionId)
  const ask = useAsking((state) => state.ask)
  const checkpoint = list && checkpointBefore(list.checkpoints, sessionId, row.id)
  const message = { sessionId, entryId: row.id, text: row.text }
  const copy: MenuList = [
    {
      label: 'Copy the text',
      icon: 'copy',
      onSelect: () =>
        void copyText(row.text).then((done) => {
          if (!done) toast.error('The browser did not copy it')
        }),
    },
  ]
  if (fixed) return copy
  const conversation: MenuList = [
    {
      label: 'Go back to here',
      icon: 'back',
      note: 'conversation only',
      disabled: closed,
      onSelect: () => void goBack(row.id),
    },
    {
      label: 'Go back with a summary',
      icon: 'log',
      note: 'of what is left',
      disabled: closed,
      onSelect: () => void goBack(row.id, true),
    },
    {
      label: 'Copy up to here',
      icon: 'splitRight',
      note: 'new session',
      disabled: closed,
      onSelect: () => void copyUpTo(row.id),
    },
    {
      label: 'Name this message…',
      icon: 'pin',
      disabled: closed,
      onSelect: () => ask({ kind: 'label', message }),
    },
    null,
    ...copy,
  ]
  if (!checkpoint) {
    if (list && machine?.can.checkpoint) {
      const note = list.automatic ? 'no checkpoint is kept' : 'none are taken'
      return [
        { label: 'Restore to here', icon: 'undo', note, disabled: true, onSelect: () => {} },
        null,
        ...conversation,
      ]
    }
    return conversation
  }
  const checkpointId = checkpoint.id
  return [
    {
      label: 'Restore to here…',
      icon: 'undo',
      onSelect: () => ask({ kind: 'restore', checkpointId, message }),
    },
    ...(machine?.can.fork
      ? [
          {
            label: 'Fork from here…',
            icon: 'fork' as const,
            onSelect: () => ask({ kind: 'fork', checkpointId, message }),
          },
        ]
      : []),
    null,
    ...conversation,
  ]
}
