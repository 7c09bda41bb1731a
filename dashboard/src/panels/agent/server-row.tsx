// One server of tools: how it stands, what it offers, what can be done about it.
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { wordsOf } from '@/api/http'
import { mcpOf, type McpConnection, type McpServer } from '@/api/mcp'
import { Ticked } from '@/components/ticked'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { Button, IconButton } from '@/ui/button'
import { Confirm } from '@/ui/dialog'
import { Glyph } from '@/ui/glyph'
import { Icon } from '@/ui/icons'
import { Ago } from '@/ui/time'
import { toast } from '@/ui/toasts'
import { cx } from '@/util/class'
import { momentOf, plural } from '@/util/format'
import { serverLook, signInWay } from './server-words'
import { SignInDialog } from './sign-in-dialog'

export function ServerRow({
  server,
  connection,
  readOnly,
}: {
  server: McpServer
  connection: McpConnection | null
  readOnly: boolean
}) {
  const [open, setOpen] = useState(false)
  const [signingIn, setSigningIn] = useState(false)
  const { name, source, url, error, disabled, tools, toolCount } = server
  const look = serverLook(server)
  const way = signInWay(server, connection)
  const trouble = server.state === 'failed' || server.state === 'needs_sign_in'
  return (
    <li className="py-1.5 pl-1">
      <div className="flex items-start gap-2">
        <span className="flex h-7 shrink-0 items-center">
          <Glyph shape={look.shape} tone={look.tone} pulse={server.state === 'starting'} />
        </span>
        <div className="min-w-0 grow pt-1">
          <div className="flex flex-wrap items-baseline gap-x-2">
            <span className="font-mono text-sm font-medium break-all">{name}</span>
            <span className={cx('text-sm', trouble ? 'text-ink-2' : 'text-ink-3')}>
              {look.word}
            </span>
          </div>
          <p className="text-sm break-words text-ink-3">
            {[url, `from ${source}`].filter(Boolean).join(', ')}
            {connection && <Connected connection={connection} />}
          </p>
          {error && (
            <p
              className={cx(
                'text-sm break-words',
                server.state === 'failed' ? 'text-red-text' : 'text-ink-2',
              )}
            >
              <Ticked text={error} />
            </p>
          )}
          {toolCount > 0 && (
            <button
              type="button"
              aria-expanded={open}
              onClick={() => setOpen(!open)}
              className="-ml-1 flex h-7 items-center gap-1 rounded-md pr-1.5 pl-0.5 text-sm text-ink-2 hover:bg-hover max-md:h-10"
            >
              <Icon
                name="chevron"
                width={12}
                height={12}
                className={cx('text-ink-3', open && 'rotate-90')}
              />
              {plural(toolCount, 'tool')}
            </button>
          )}
        </div>
        {!readOnly && (
          <span className="flex shrink-0 items-center gap-1 max-sm:flex-col max-sm:items-end">
            {way === 'connect' && (
              <Button variant="primary" onClick={() => setSigningIn(true)}>
                Connect…
              </Button>
            )}
            {way === 'offer' && (
              <Button variant="ghost" onClick={() => setSigningIn(true)}>
                Sign in…
              </Button>
            )}
            {way === 'disconnect' && <Disconnect server={name} host={connection?.host ?? ''} />}
            {!disabled && <Restart server={name} state={server.state} />}
          </span>
        )}
      </div>
      {open && (
        <ul aria-label={`Tools of ${name}`} className="mt-1 mb-1 ml-5 border-l pl-3 text-sm">
          {tools.map((tool) => (
            <li key={tool.calledAs} className="flex flex-col py-0.5">
              <code className="break-all">{tool.name}</code>
              <span className="line-clamp-2 break-words text-ink-3" title={tool.description}>
                {tool.description}
              </span>
            </li>
          ))}
          {toolCount > tools.length && (
            <li className="py-0.5 text-ink-3">and {toolCount - tools.length} more</li>
          )}
        </ul>
      )}
      {signingIn && <SignInDialog server={name} onClose={() => setSigningIn(false)} />}
    </li>
  )
}

function Connected({
  connection: { state, connectedAt, connectedBy, error },
}: {
  connection: McpConnection
}) {
  if (state === 'missing') return '. Signed in where this was forked from: connect it here, too.'
  if (state === 'ended') return `. The sign-in ended${error ? `: ${error}` : ''}.`
  return (
    <>
      . Signed in{connectedBy && ` by ${connectedBy}`} <Ago at={momentOf(connectedAt)} />
    </>
  )
}

function useChanged() {
  const { id } = useProject()
  const client = useQueryClient()
  return () => {
    for (const { queryKey } of [queries.mcp(id), queries.mcpConnections(id), queries.secrets(id)])
      void client.invalidateQueries({ queryKey })
  }
}

function Restart({ server, state }: { server: string; state: McpServer['state'] }) {
  const { id } = useProject()
  const changed = useChanged()
  const restart = useMutation({
    mutationFn: () => mcpOf(id).restart(server),
    onError: (error) => toast.error(`${server} was not started`, wordsOf(error)),
    onSettled: changed,
  })
  const isOff = state === 'off'
  return (
    <IconButton
      icon={isOff ? 'play' : 'reload'}
      label={isOff ? `Start ${server}` : `Start ${server} again`}
      disabled={restart.isPending || state === 'starting'}
      onClick={() => restart.mutate()}
    />
  )
}

function Disconnect({ server, host }: { server: string; host: string }) {
  const { id } = useProject()
  const changed = useChanged()
  const [asking, setAsking] = useState(false)
  const leave = useMutation({
    mutationFn: () => mcpOf(id).disconnect(server),
    onSuccess: ({ revoked }) =>
      toast.success(
        `${server} is disconnected`,
        revoked ? undefined : `${host} was not told: take the access back there, too.`,
      ),
    onError: (error) => toast.error(`${server} is still connected`, wordsOf(error)),
    onSettled: changed,
  })
  return (
    <>
      <Button variant="ghost" disabled={leave.isPending} onClick={() => setAsking(true)}>
        Disconnect…
      </Button>
      <Confirm
        open={asking}
        title={`Disconnect ${server}?`}
        touches={`The sign-in is deleted and ${host} is told. The agent cannot use these tools until somebody signs in again.`}
        verb="Disconnect"
        onConfirm={() => leave.mutate()}
        onClose={() => setAsking(false)}
      />
    </>
  )
}
