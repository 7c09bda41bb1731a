// One integration: what it is for, whether it is connected, which secrets it uses by name.
import type { Integration } from '@/api/bridge-types'
import { integrationLook } from '@/components/row-state'
import type { PanelProps } from '@/hooks/dock'
import { Facts } from './facts'
import { AskButton, RowPanel } from './row-panel'

export function IntegrationPanel({ params, setTitle }: PanelProps<'integration'>) {
  return (
    <RowPanel
      word="integration"
      find={({ integrations }) => integrations.find((each) => each.id === params.id)}
      setTitle={setTitle}
    >
      {(integration) => (
        <Facts
          name={integration.name}
          description={integration.description}
          state={integrationLook(integration)}
          facts={[['Secrets', <Secrets key="secrets" integration={integration} />]]}
          action={<AskButton about={`the integration "${integration.name}"`} />}
        />
      )}
    </RowPanel>
  )
}

function Secrets({ integration }: { integration: Integration }) {
  if (integration.secrets.length === 0) return <span className="text-ink-3">none</span>
  return (
    <ul className="font-mono text-sm">
      {integration.secrets.map((secret) => (
        <li key={secret}>{secret}</li>
      ))}
    </ul>
  )
}
