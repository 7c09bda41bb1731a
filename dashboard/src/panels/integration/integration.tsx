// One integration: what it is for, whether it is connected, which secrets it uses by name.
import { useQuery } from '@tanstack/react-query'
import type { Integration } from '@/api/bridge-types'
import { integrationLook } from '@/components/row-state'
import { useOpenPanel, type PanelProps } from '@/hooks/dock'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
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
  const { id } = useProject()
  const open = useOpenPanel()
  const { data } = useQuery(queries.secrets(id))
  if (integration.secrets.length === 0) return <span className="text-ink-3">none</span>
  return (
    <ul>
      {integration.secrets.map((name) => {
        const isSet = data?.secrets.some((each) => each.name === name && each.state === 'set')
        return (
          <li key={name} className="flex min-h-7 items-center gap-2">
            <code className="text-sm break-all">{name}</code>
            {data &&
              (isSet ? (
                <span className="text-sm text-ink-3">set</span>
              ) : (
                <Button onClick={() => open({ kind: 'secrets', name })}>Set…</Button>
              ))}
          </li>
        )
      })}
    </ul>
  )
}
