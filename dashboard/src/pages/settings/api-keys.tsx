// Keys for programs outside: what each opens, when it was used, and taking it back.
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { wordsOf } from '@/api/http'
import { apiKeys, type ApiKey } from '@/api/keys'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { CopyButton } from '@/ui/copy'
import { Confirm } from '@/ui/dialog'
import { Failure, Skeleton } from '@/ui/state'
import { Ago, Until } from '@/ui/time'
import { toast } from '@/ui/toasts'
import { NewKeyDialog } from './new-key-dialog'

export function ApiKeys({ admin }: { admin: boolean }) {
  const client = useQueryClient()
  const { data, error, isPending, refetch } = useQuery({ ...queries.keys, enabled: admin })
  const { data: projects } = useQuery({ ...queries.projects, enabled: admin })
  const [making, setMaking] = useState(false)
  const [made, setMade] = useState<{ name: string; key: string } | null>(null)
  if (!admin) return <p className="text-ink-3">Keys are for admins to make.</p>
  if (isPending) return <Skeleton widths={[80, 60]} words="Reading the keys…" />
  if (error && !data) {
    return (
      <Failure
        compact
        title="The keys could not be read"
        message={wordsOf(error)}
        action={<Button onClick={() => void refetch()}>Try again</Button>}
      />
    )
  }
  const nameOf = (id: string) => projects?.find((project) => project.id === id)?.name ?? id
  const changed = () => void client.invalidateQueries({ queryKey: queries.keys.queryKey })
  return (
    <div className="flex flex-col gap-4">
      {made && <MadeKey name={made.name} text={made.key} onDone={() => setMade(null)} />}
      {data?.length === 0 && <p className="text-ink-3">No key was made yet.</p>}
      {data && data.length > 0 && (
        <ul className="divide-y divide-line border-y">
          {data.map((key) => (
            <KeyRow key={key.id} of={key} nameOf={nameOf} onGone={changed} />
          ))}
        </ul>
      )}
      <div>
        <Button onClick={() => setMaking(true)}>New key…</Button>
      </div>
      {making && (
        <NewKeyDialog
          projects={projects ?? []}
          onMade={({ name, key }) => {
            setMade({ name, key })
            setMaking(false)
            changed()
          }}
          onClose={() => setMaking(false)}
        />
      )}
    </div>
  )
}

/** The one time that a key is seen. */
function MadeKey({ name, text, onDone }: { name: string; text: string; onDone: () => void }) {
  return (
    <div role="status" className="rounded-md border bg-surface p-3">
      <p className="text-pretty">
        Copy the key <strong>{name}</strong> now: it is kept nowhere and not shown again.
      </p>
      <div className="mt-2 flex items-center gap-2">
        <code className="min-w-0 grow text-sm break-all">{text}</code>
        <CopyButton text={() => text} label="Copy the key" />
        <Button onClick={onDone}>Done</Button>
      </div>
    </div>
  )
}

function KeyRow({
  of,
  nameOf,
  onGone,
}: {
  of: ApiKey
  nameOf: (project: string) => string
  onGone: () => void
}) {
  const [asking, setAsking] = useState(false)
  const revoke = useMutation({
    mutationFn: () => apiKeys.revoke(of.id),
    onSuccess: onGone,
    onError: (cause) => toast.error('It was not revoked', wordsOf(cause)),
  })
  return (
    <li className="flex min-h-12 items-center gap-3 py-1.5">
      <div className="min-w-0 grow">
        <div className="break-words">
          <span className="font-medium">{of.name}</span>{' '}
          <code className="text-sm text-ink-3">{of.prefix}…</code>
        </div>
        <div className="text-sm text-pretty text-ink-2">
          {of.scopes.join(', ')}
          {of.projectId && ` of ${nameOf(of.projectId)}`}
          {' · '}
          {of.lastUsedAt === null ? (
            'never used'
          ) : (
            <>
              used <Ago at={of.lastUsedAt} />
            </>
          )}
          {of.expiresAt !== null &&
            (of.expired ? (
              ' · has expired'
            ) : (
              <>
                {' · ends '}
                <Until at={of.expiresAt} />
              </>
            ))}
          {of.createdBy && ` · made by ${of.createdBy}`}
        </div>
      </div>
      <Button variant="ghost" disabled={revoke.isPending} onClick={() => setAsking(true)}>
        Revoke
      </Button>
      <Confirm
        open={asking}
        title={`Revoke ${of.name}?`}
        touches="Programs that have it are refused from now on, and what they have open ends. It cannot be brought back."
        verb="Revoke"
        onConfirm={() => revoke.mutate()}
        onClose={() => setAsking(false)}
      />
    </li>
  )
}
