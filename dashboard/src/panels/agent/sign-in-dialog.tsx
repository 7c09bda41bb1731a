// Signing in at a server of tools: who asks, for what, and a link to there. Toft waits for the return.
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { ApiError, wordsOf } from '@/api/http'
import { mcpOf, type SignIn, type SignInClient } from '@/api/mcp'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Dialog } from '@/ui/dialog'
import { Field, Input } from '@/ui/field'
import { Glyph } from '@/ui/glyph'
import { SecretInput } from '@/ui/secret-input'
import { toast } from '@/ui/toasts'
import { shortClock } from '@/util/format'

/** While a person is away to sign in, their return is looked for this often. */
const LOOK_EVERY_MS = 2000

export function SignInDialog({ server, onClose }: { server: string; onClose: () => void }) {
  const { id } = useProject()
  const client = useQueryClient()
  /** When the sign-in of before was made, once a person left for a new one. */
  const [left, setLeft] = useState<{ before: string | null } | null>(null)
  const { data: connections } = useQuery({
    ...queries.mcpConnections(id),
    refetchInterval: left ? LOOK_EVERY_MS : false,
  })
  const connection = connections?.find((each) => each.server === server)
  const isBack =
    left !== null && connection?.state === 'connected' && connection.connectedAt !== left.before

  const begin = useMutation({
    mutationFn: (way: SignInClient) => mcpOf(id).connect(server, way),
  })
  const { mutate } = begin
  useEffect(() => mutate({}), [mutate])

  useEffect(() => {
    if (!isBack) return
    toast.success(`${server} is connected`)
    void client.invalidateQueries({ queryKey: queries.mcp(id).queryKey })
    onClose()
  }, [client, id, isBack, onClose, server])

  return (
    <Dialog open onOpenChange={(open) => !open && onClose()} title={`Sign in for ${server}`}>
      {begin.data ? (
        <Leave
          signIn={begin.data}
          left={left !== null}
          onLeave={() => setLeft({ before: connection?.connectedAt ?? null })}
          onAgain={() => {
            setLeft(null)
            mutate(begin.variables ?? {})
          }}
          onClose={onClose}
        />
      ) : begin.error && !begin.isPending ? (
        <Refused error={begin.error} onTry={(way) => mutate(way)} onClose={onClose} />
      ) : (
        <p className="mt-2 text-ink-2" role="status">
          Asking the server how to sign in…
        </p>
      )}
    </Dialog>
  )
}

function Leave({
  signIn: { authorizationUrl, host, serverHost, scopes, expiresAt },
  left,
  onLeave,
  onAgain,
  onClose,
}: {
  signIn: SignIn
  left: boolean
  onLeave: () => void
  onAgain: () => void
  onClose: () => void
}) {
  return (
    <>
      <div className="mt-2 flex flex-col gap-2 text-ink-2">
        <p className="text-pretty">
          You sign in at <code className="text-ink">{host}</code>, for the server at{' '}
          <code className="text-ink">{serverHost}</code>. Toft keeps what comes back sealed, and
          puts it into requests to that server alone: neither the machine nor the agent sees it.
        </p>
        {scopes.length > 0 && (
          <p className="break-words">
            Asked for: <code className="text-ink">{scopes.join(' ')}</code>
          </p>
        )}
        {left && (
          <p role="status" className="flex items-center gap-2">
            <Glyph shape="disc" tone="moss" pulse />
            Waiting for you to finish there… There is time until {shortClock(Date.parse(expiresAt))}
            .
          </p>
        )}
      </div>
      <div className="mt-4 flex justify-end gap-2">
        <Button onClick={onClose}>{left ? 'Close' : 'Cancel'}</Button>
        {left ? (
          // What was opened is of one use.
          <Button onClick={onAgain}>Begin again</Button>
        ) : (
          <a
            href={authorizationUrl}
            target="_blank"
            rel="noopener noreferrer"
            onClick={onLeave}
            onAuxClick={(event) => {
              if (event.button === 1) onLeave()
            }}
            className="inline-flex h-7 items-center rounded-md bg-moss px-2.5 font-medium text-moss-ink select-none hover:bg-moss-strong max-md:h-9"
          >
            Go to {host}
          </a>
        )}
      </div>
    </>
  )
}

/** Why it cannot be begun; some servers want to know who asks, and a person can say it. */
function Refused({
  error,
  onTry,
  onClose,
}: {
  error: Error
  onTry: (way: SignInClient) => void
  onClose: () => void
}) {
  const [clientId, setClientId] = useState('')
  const [clientSecret, setClientSecret] = useState('')
  const wantsClient = error instanceof ApiError && error.code === 'sign_in_unsupported'
  const typed = clientId.trim()
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        if (!wantsClient) onTry({})
        else if (typed) {
          onTry({ clientId: typed, ...(clientSecret ? { clientSecret } : {}) })
        }
      }}
    >
      <p role="alert" className="mt-2 break-words text-red-text">
        {wordsOf(error)}
      </p>
      {wantsClient && (
        <div className="mt-3 flex flex-col gap-3">
          <Field
            label="Client ID"
            note={
              <>
                Of an application that you made there, with the redirect URI{' '}
                <code className="break-all">{location.origin}/v1/mcp/callback</code>.
              </>
            }
          >
            {(ids) => (
              <Input
                {...ids}
                mono
                value={clientId}
                onChange={(event) => setClientId(event.target.value)}
              />
            )}
          </Field>
          <Field label="Client secret" note="If it has one.">
            {(ids) => (
              <SecretInput
                {...ids}
                value={clientSecret}
                onChange={(event) => setClientSecret(event.target.value)}
              />
            )}
          </Field>
        </div>
      )}
      <div className="mt-4 flex justify-end gap-2">
        <Button onClick={onClose}>Cancel</Button>
        <Button type="submit" variant="primary" disabled={wantsClient && !typed}>
          {wantsClient ? 'Go on' : 'Try again'}
        </Button>
      </div>
    </form>
  )
}
