// One secret: its name, and since when and by whom it has the value that nobody sees.
import { useState } from 'react'
import type { Secret } from '@/api/secrets'
import { boundWords } from '@/components/secret-way'
import { useProject } from '@/hooks/live'
import { useSecretActions } from '@/hooks/secrets'
import { Button, IconButton } from '@/ui/button'
import { Confirm } from '@/ui/dialog'
import { Glyph } from '@/ui/glyph'
import { Ago } from '@/ui/time'

export function SecretRow({
  secret,
  canChange,
  onSet,
}: {
  secret: Secret
  canChange: boolean
  onSet: () => void
}) {
  const { id } = useProject()
  const { remove } = useSecretActions(id)
  const [deleting, setDeleting] = useState(false)
  const { name, state } = secret
  return (
    <li className="flex min-h-12 items-center gap-2 py-1 pr-1.5 pl-3 hover:bg-hover">
      {state === 'set' ? (
        <Glyph shape="disc" tone="moss" title="set" />
      ) : (
        <Glyph shape="ask" tone="amber" title="needs you" />
      )}
      <span className="min-w-0 grow">
        <span className="block truncate font-mono text-sm font-medium">{name}</span>
        <span className="block text-sm text-pretty text-ink-2">
          <Since secret={secret} />
        </span>
      </span>
      {canChange && (
        <>
          {state === 'missing' ? (
            <Button onClick={onSet}>Set…</Button>
          ) : (
            <IconButton icon="edit" label={`Replace ${name}`} onClick={onSet} />
          )}
          <IconButton
            icon="trash"
            label={`Delete ${name}`}
            disabled={remove.isPending}
            onClick={() => setDeleting(true)}
          />
        </>
      )}
      <Confirm
        open={deleting}
        title={`Delete ${name}?`}
        touches="Programs that are started from then on do not find it any more. Those that run keep it until they end. Its value cannot be brought back."
        verb="Delete"
        onConfirm={() => remove.mutate(secret)}
        onClose={() => setDeleting(false)}
      />
    </li>
  )
}

function Since({ secret: { state, setAt, setBy, binding } }: { secret: Secret }) {
  if (state === 'missing') return 'No value yet: a fork gets names, and values by grant.'
  if (state === 'unreadable') {
    return 'The server’s master key does not open it. Restore master.key, or set it again.'
  }
  return (
    <>
      Set <Ago at={setAt} />
      {setBy && ` by ${setBy}`}
      {binding && <>. {boundWords(binding)}</>}
    </>
  )
}
