// The rows of the sidebar, one kind each.
import { useMutation } from '@tanstack/react-query'
import type { Asset, Integration, Service, SessionInfo } from '@/api/bridge-types'
import { wordsOf } from '@/api/http'
import type { Schedule } from '@/api/machine-types'
import { server } from '@/api/server'
import { LookGlyph, needsYou, sessionLook } from '@/components/project-state'
import { integrationLook, serviceLook } from '@/components/row-state'
import { whenWords } from '@/components/schedule-words'
import { sessionName } from '@/components/session-name'
import { toast } from '@/ui/toasts'
import { useOpenPanel } from '@/hooks/dock'
import { useProject } from '@/hooks/live'
import { useMachineState } from '@/hooks/machine'
import { useAskAgent } from '@/hooks/ask-agent'
import { useScheduleActions } from '@/hooks/schedules'
import { useServiceAction } from '@/hooks/services'
import { Glyph } from '@/ui/glyph'
import type { MenuList } from '@/ui/menu'
import { Ago, Until } from '@/ui/time'
import { momentOf } from '@/util/format'
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
  const { alive, closed, isPending } = useMachineState()
  const action = useServiceAction()
  const look = serviceLook(service, alive || isPending)
  const running = look.shape === 'play'
  const { port } = service
  const outside = useMutation({
    mutationFn: () => server.preview(id, port),
    onSuccess: ({ url }) => window.open(url, '_blank', 'noopener'),
    onError: (error) => toast.error('The app could not be opened', wordsOf(error)),
  })
  const details = () => open({ kind: 'services', id: service.id })
  const show = () => (port === null ? details() : open({ kind: 'app', port, title: service.name }))
  const run = (verb: 'start' | 'stop' | 'restart') => () => action.mutate({ service, verb })
  const supervised: MenuList = closed
    ? []
    : look.shape === 'play' || look.shape === 'half'
      ? [
          { label: 'Start again', icon: 'reload', onSelect: run('restart') },
          { label: 'Stop', icon: 'stop', onSelect: run('stop') },
        ]
      : [{ label: 'Start', icon: 'play', onSelect: run('start') }]
  const menu: MenuList = [
    { label: 'Open', icon: 'app', onSelect: show },
    ...(port === null
      ? []
      : [{ label: 'Open outside', icon: 'open' as const, onSelect: () => outside.mutate() }]),
    { label: 'Details and log', icon: 'list', onSelect: details },
    null,
    ...(service.command
      ? supervised
      : [
          running
            ? {
                label: 'Ask the agent to stop it',
                icon: 'chat' as const,
                onSelect: () => ask(`Stop the service "${service.name}".`),
              }
            : {
                label: 'Ask the agent to start it',
                icon: 'chat' as const,
                onSelect: () => ask(`Start the service "${service.name}".`),
              },
        ]),
  ]
  // What is not as it should be is told before the port.
  const trouble = look.tone === 'red' || look.tone === 'amber'
  return (
    <SideRow
      glyph={<LookGlyph look={look} titled />}
      name={service.name}
      note={trouble ? look.word : port === null ? (service.schedule ?? service.type) : `:${port}`}
      title={service.description ?? undefined}
      menu={menu}
      onOpen={show}
    />
  )
}

export function ScheduleSideRow({ schedule }: { schedule: Schedule }) {
  const open = useOpenPanel()
  const { id } = useProject()
  const { run, enable } = useScheduleActions(id)
  const show = () => open({ kind: 'schedules', id: schedule.id })
  const next = momentOf(schedule.nextAt)
  return (
    <SideRow
      glyph={
        <Glyph
          shape={schedule.enabled ? 'ring' : 'dot'}
          tone={schedule.enabled ? 'moss' : 'quiet'}
          title={schedule.enabled ? 'on' : 'off'}
        />
      }
      name={schedule.name}
      note={!schedule.enabled ? 'off' : Number.isFinite(next) ? <Until at={next} /> : 'not again'}
      title={whenWords(schedule.when)}
      menu={[
        { label: 'Open', icon: 'calendar', onSelect: show },
        { label: 'Run now', icon: 'play', onSelect: () => run.mutate(schedule) },
        {
          label: schedule.enabled ? 'Switch off' : 'Switch on',
          icon: 'power',
          onSelect: () => enable.mutate({ schedule, enabled: !schedule.enabled }),
        },
      ]}
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
  const look = sessionLook(session)
  const show = () => open({ kind: 'chat', sessionId: session.id })
  const name = sessionName(session)
  const at = new Date(session.updatedAt).getTime()
  return (
    <SideRow
      glyph={<LookGlyph look={look} titled />}
      name={name}
      title={name}
      note={
        needsYou(session) ? (
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
