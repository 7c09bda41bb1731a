// What there is in the project: conversations, services, integrations, assets. A click opens it.
import { useQuery } from '@tanstack/react-query'
import { wordsOf } from '@/api/http'
import { runById } from '@/hooks/commands'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { useServices } from '@/hooks/services'
import { IconButton } from '@/ui/button'
import { cx } from '@/util/class'
import { Section } from './sidebar-parts'
import { AssetRow, IntegrationRow, ScheduleSideRow, ServiceRow, SessionRow } from './sidebar-rows'

export function Sidebar({ narrow }: { narrow: boolean }) {
  const { id } = useProject()
  const { services, ...inspect } = useServices()
  const schedules = useQuery(queries.schedules(id))
  const sessions = useQuery(queries.sessions(id))
  const { integrations = [], assets = [] } = inspect.data ?? {}
  const inspectError = inspect.error && !inspect.data ? wordsOf(inspect.error) : null

  return (
    <nav
      aria-label="Project"
      className={cx(
        'flex w-58 shrink-0 flex-col overflow-y-auto border-r bg-ground pb-3',
        narrow && 'appear absolute inset-y-0 left-0 z-20 w-72 shadow-float',
      )}
    >
      <div className="sticky top-0 z-10 flex h-8 shrink-0 items-center justify-between border-b bg-ground px-1.5 max-md:h-11">
        <IconButton icon="chat" label="New chat" keys="alt+c" onClick={() => runById('chat.new')} />
        <IconButton icon="app" label="App" keys="alt+a" onClick={() => runById('panel.app')} />
        <IconButton
          icon="terminal"
          label="New terminal"
          keys="alt+t"
          onClick={() => runById('panel.terminal')}
        />
        <IconButton
          icon="folder"
          label="Files"
          keys="alt+f"
          onClick={() => runById('panel.files')}
        />
        <IconButton icon="log" label="Log" keys="alt+l" onClick={() => runById('panel.log')} />
        <IconButton
          icon="pin"
          label="Checkpoints"
          keys="alt+k"
          onClick={() => runById('panel.checkpoints')}
        />
        <IconButton
          icon="machine"
          label="Machine"
          keys="alt+i"
          onClick={() => runById('panel.machine')}
        />
      </div>
      <Section
        name="Services"
        none="Apps and jobs that the agent starts"
        count={services.length}
        loading={inspect.isPending}
        error={inspectError}
        onRetry={() => void inspect.refetch()}
        more={{ label: 'Open services', onSelect: () => runById('panel.services') }}
      >
        {services.map((service) => (
          <ServiceRow key={service.id} service={service} />
        ))}
      </Section>
      <Section
        name="Schedules"
        none="Commands and prompts by the clock"
        count={schedules.data?.length ?? 0}
        loading={schedules.isPending}
        error={schedules.error && !schedules.data ? wordsOf(schedules.error) : null}
        onRetry={() => void schedules.refetch()}
        more={{ label: 'Open schedules', onSelect: () => runById('panel.schedules') }}
      >
        {schedules.data?.map((schedule) => (
          <ScheduleSideRow key={schedule.id} schedule={schedule} />
        ))}
      </Section>
      <Section
        name="Integrations"
        none="Outside services that it connects"
        count={integrations.length}
        loading={inspect.isPending}
        error={inspectError}
        onRetry={() => void inspect.refetch()}
      >
        {integrations.map((integration) => (
          <IntegrationRow key={integration.id} integration={integration} />
        ))}
      </Section>
      <Section
        name="Assets"
        none="Documents and files worth keeping at hand"
        count={assets.length}
        loading={inspect.isPending}
        error={inspectError}
        onRetry={() => void inspect.refetch()}
      >
        {assets.map((asset) => (
          <AssetRow key={asset.id} asset={asset} />
        ))}
      </Section>
      <Section
        name="Sessions"
        none="Conversations with the agent"
        count={sessions.data?.sessions.length ?? 0}
        loading={sessions.isPending}
        error={sessions.error && !sessions.data ? wordsOf(sessions.error) : null}
        onRetry={() => void sessions.refetch()}
      >
        {sessions.data?.sessions.map((session) => (
          <SessionRow key={session.id} session={session} />
        ))}
      </Section>
    </nav>
  )
}
