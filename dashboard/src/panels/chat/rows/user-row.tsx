// The person's words, set off by a thin rule; from each, the project can go back to before it, or be
// copied as it was then.
import { useQuery } from '@tanstack/react-query'
import type { UserRow } from '@/api/transcript/types'
import { checkpointBefore } from '@/components/checkpoint-words'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { useAsking } from '@/stores/asking'
import { IconButton } from '@/ui/button'
import { Menu, RightClick, type MenuList } from '@/ui/menu'
import { toast } from '@/ui/toasts'
import { absolute } from '@/util/format'
import { copyText } from '@/util/plain-http'

export function UserRowView({ row, sessionId }: { row: UserRow; sessionId: string }) {
  const items = useMessageMenu(row, sessionId)
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
        <div className="max-w-[72ch] text-md break-words whitespace-pre-wrap">{row.text}</div>
        <span className="absolute top-0 right-0 opacity-0 group-hover:opacity-100 focus-within:opacity-100 has-data-[state=open]:opacity-100 max-md:opacity-100">
          <Menu items={items} align="end">
            <IconButton icon="more" label="More for this message" />
          </Menu>
        </span>
      </div>
    </RightClick>
  )
}

function useMessageMenu(row: UserRow, sessionId: string): MenuList {
  const { id } = useProject()
  const { data: list } = useQuery(queries.checkpoints(id))
  const { data: machine } = useQuery(queries.machine(id))
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
  if (!checkpoint) {
    if (list && machine?.can.checkpoint) {
      const note = list.automatic ? 'no checkpoint is kept' : 'none are taken'
      return [
        { label: 'Restore to here', icon: 'undo', note, disabled: true, onSelect: () => {} },
        null,
        ...copy,
      ]
    }
    return copy
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
    ...copy,
  ]
}
