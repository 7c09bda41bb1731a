// One secret: its name, and since when and by whom it has the value that nobody sees.
import { useState } from 'react'
import type { Secret } from '@/api/secrets'
import { boundWords } from '@/components/secret-way'
import { useOpenPanel } from '@/hooks/dock'
import { useProject } from '@/hooks/live'
import { useSecretActions } from '@/hooks/secrets'
import { Button, IconButton } from '@/ui/button'
import { Confirm } from '@/ui/dialog'
import { Glyph } from '@/ui/glyph'
import { Ago } from '@/ui/time'

const VALUE_GOES =
  'Programs that are started from then on do not find it any more. Those that run keep it until they end. Its value cannot be brought back.'
const SIGN_IN_GOES =
  'The agent cannot use the tools of that server until somebody signs in again. The server is not told: disconnect it under Agent, and it is.'

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
  const openPanel = useOpenPanel()
  const { name, state } = secret
  const isSignIn = secret.kind === 'mcp'
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
          {isSignIn ? (
            <IconButton
              icon="sliders"
              label="Its server"
              onClick={() => openPanel({ kind: 'agent', part: 'tools' })}
            />
          ) : state === 'missing' ? (
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
        touches={isSignIn ? SIGN_IN_GOES : VALUE_GOES}
        verb="Delete"
        onConfirm={() => remove.mutate(secret)}
        onClose={() => setDeleting(false)}
      />
    </li>
  )
}

function Since({ secret: { kind, state, setAt, setBy, binding } }: { secret: Secret }) {
  if (kind === 'mcp') {
    return state === 'missing' ? (
      'A sign-in that came with the fork by name only: connect it under Agent.'
    ) : (
      <>
        A sign-in, made <Ago at={setAt} />
        {setBy && ` by ${setBy}`}. It is put into requests to its server, outside of the machine.
      </>
    )
  }
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
