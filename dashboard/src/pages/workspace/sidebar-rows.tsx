// The rows of the sidebar, one kind each.
import { useMutation } from '@tanstack/react-query'
import type { Asset, Integration, Service, SessionInfo } from '@/api/bridge-types'
import { wordsOf } from '@/api/http'
import { server } from '@/api/server'
import { agentLook, LookGlyph } from '@/components/project-state'
import { integrationLook, serviceLook } from '@/components/row-state'
import { sessionName } from '@/components/session-name'
import { toast } from '@/ui/toasts'
import { useOpenPanel } from '@/hooks/dock'
import { useProject } from '@/hooks/live'
import { useMachineState } from '@/hooks/machine'
import { useAskAgent } from '@/hooks/ask-agent'
import { Glyph } from '@/ui/glyph'
import type { MenuList } from '@/ui/menu'
import { Ago } from '@/ui/time'
import { copyText } from '@/util/plain-http'
import { SideRow } from './sidebar-parts'

function copy(text: string): void {
  void copyText(text).then((done) => {
    if (done) toast.info('Copied', text)
    else toast.error('The browser did not copy it', text)
  })
}

export function ServiceRow({ service }: { service: Service }) {
  const { id } = useProject()
  const open = useOpenPanel()
  const ask = useAskAgent()
  const { up, isPending } = useMachineState()
  const look = serviceLook(service.status, up || isPending)
  const running = look.shape === 'play'
  const { port } = service
  const outside = useMutation({
    mutationFn: () => server.preview(id, port),
    onSuccess: ({ url }) => window.open(url, '_blank', 'noopener'),
    onError: (error) => toast.error('The app could not be opened', wordsOf(error)),
  })
  const show = () =>
    port === null
      ? open({ kind: 'service', id: service.id })
      : open({ kind: 'app', port, title: service.name })
  const menu: MenuList = [
    { label: 'Open', icon: 'app', onSelect: show },
    ...(port === null
      ? []
      : [{ label: 'Open outside', icon: 'open' as const, onSelect: () => outside.mutate() }]),
    { label: 'Details', icon: 'list', onSelect: () => open({ kind: 'service', id: service.id }) },
    null,
    running
      ? {
          label: 'Ask the agent to stop it',
          icon: 'chat',
          onSelect: () => ask(`Stop the service "${service.name}".`),
        }
      : {
          label: 'Ask the agent to start it',
          icon: 'chat',
          onSelect: () => ask(`Start the service "${service.name}".`),
        },
  ]
  return (
    <SideRow
      glyph={<LookGlyph look={look} titled />}
      name={service.name}
      note={port === null ? (service.schedule ?? service.type) : `:${port}`}
      title={service.description ?? undefined}
      menu={menu}
      onOpen={show}
    />
  )
}

export function IntegrationRow({ integration }: { integration: Integration }) {
  const open = useOpenPanel()
  const ask = useAskAgent()
  const show = () => open({ kind: 'integration', id: integration.id })
  return (
    <SideRow
      glyph={<LookGlyph look={integrationLook(integration)} titled />}
      name={integration.name}
      title={integration.description ?? undefined}
      menu={[
        { label: 'Open', icon: 'plug', onSelect: show },
        {
          label: 'Ask the agent about it',
          icon: 'chat',
          onSelect: () => ask(`About the integration "${integration.name}": `),
        },
      ]}
      onOpen={show}
    />
  )
}

export function AssetRow({ asset }: { asset: Asset }) {
  const { live } = useProject()
  const open = useOpenPanel()
  const show = () => open({ kind: 'files', path: asset.path })
  return (
    <SideRow
      glyph={<Glyph shape="dot" tone="quiet" />}
      name={asset.name}
      note={asset.type}
      title={asset.description ?? asset.path}
      menu={[
        { label: 'Open', icon: 'file', onSelect: show },
        {
          label: 'Download',
          icon: 'download',
          onSelect: () => {
            const link = document.createElement('a')
            link.href = live.bridge.contentUrl(asset.path)
            link.download = asset.path.split('/').at(-1) ?? asset.name
            link.click()
          },
        },
        { label: 'Copy path', icon: 'copy', onSelect: () => copy(asset.path) },
      ]}
      onOpen={show}
    />
  )
}

export function SessionRow({ session }: { session: SessionInfo }) {
  const open = useOpenPanel()
  const look = agentLook(session.status)
  const show = () => open({ kind: 'chat', sessionId: session.id })
  const name = sessionName(session)
  const at = new Date(session.updatedAt).getTime()
  return (
    <SideRow
      glyph={<LookGlyph look={look} titled />}
      name={name}
      title={name}
      note={
        session.status === 'waiting' ? (
          <span className="text-amber-text">Needs you</span>
        ) : session.lost ? (
          <span>Copy</span>
        ) : Number.isFinite(at) ? (
          <Ago at={at} />
        ) : null
      }
      menu={[
        { label: 'Open', icon: 'chat', onSelect: show },
        {
          label: 'Open in a panel of its own',
          icon: 'splitRight',
          onSelect: () => open({ kind: 'chat', sessionId: session.id }, 'new'),
        },
      ]}
      onOpen={show}
    />
  )
}
