// Gives an entry of a conversation a name, under which it is found among all branches.
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { wordsOf } from '@/api/http'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import type { AskedMessage } from '@/stores/asking'
import { Field, Input } from '@/ui/field'
import { FormDialog } from '@/ui/form-dialog'
import { Failure } from '@/ui/state'
import { toast } from '@/ui/toasts'

/** As many characters as the server takes. */
const NAME_CHARS_MAX = 200

export function LabelDialog({
  message,
  label = '',
  onClose,
}: {
  message: AskedMessage
  label?: string
  onClose: () => void
}) {
  const { id, live } = useProject()
  const client = useQueryClient()
  const [typed, setTyped] = useState(label)
  const name = typed.trim()
  const put = useMutation({
    mutationFn: () => live.bridge.label(message.sessionId, message.entryId, name || null),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: queries.tree(id, message.sessionId).queryKey })
      toast.success(name ? `Named “${name}”` : 'It has no name any more')
      onClose()
    },
  })
  return (
    <FormDialog
      title="Name this message"
      note={<q className="line-clamp-2 block break-words">{message.text}</q>}
      verb={name || !label ? 'Name it' : 'Remove the name'}
      doing="Naming…"
      busy={put.isPending}
      disabled={name === label}
      below={put.error && <Failure compact title="It was not named" message={wordsOf(put.error)} />}
      onSubmit={() => put.mutate()}
      onClose={onClose}
    >
      <Field label="Name" note="You find it under All branches.">
        {(ids) => (
          <Input
            {...ids}
            // The dialog is opened to type a name.
            // oxlint-disable-next-line jsx-a11y/no-autofocus
            autoFocus
            maxLength={NAME_CHARS_MAX}
            value={typed}
            placeholder="before the rewrite"
            onChange={(event) => setTyped(event.target.value)}
          />
        )}
      </Field>
    </FormDialog>
  )
}
