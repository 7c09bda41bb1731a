// One integration: what it is for, whether it is connected, which secrets it uses by name.
import { useQuery } from '@tanstack/react-query'
import { useEffect } from 'react'
import type { PanelProps } from '@/hooks/dock'
import { useAskAgent } from '@/hooks/ask-agent'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Glyph } from '@/ui/glyph'
import { Empty, Skeleton } from '@/ui/state'
import { Facts } from './facts'

export function IntegrationPanel({ params, setTitle }: PanelProps<'integration'>) {
  const { id } = useProject()
  const { data, isPending } = useQuery(queries.inspect(id))
  const ask = useAskAgent()
  const integration = data?.integrations.find((each) => each.id === params.id)
  const name = integration?.name ?? 'Integration'
  useEffect(() => setTitle(name), [name, setTitle])

  if (isPending) return <Skeleton className="p-5" />
  if (!integration) {
    return (
      <Empty title="This integration is gone" drawing={false}>
        The agent removed it from the inspect database.
      </Empty>
    )
  }
  const connected = integration.status === 'connected'
  const failed = integration.status === 'error'
  return (
    <Facts
      name={integration.name}
      description={integration.description}
      facts={[
        [
          'State',
          <span key="state" className="flex items-center gap-1.5">
            <Glyph
              shape={failed ? 'cross' : connected ? 'disc' : 'ring'}
              tone={failed ? 'red' : connected ? 'moss' : 'quiet'}
            />
            {failed ? 'failed' : integration.status}
          </span>,
        ],
        [
          'Secrets',
          integration.secrets.length === 0 ? (
            '(none)'
          ) : (
            <ul key="secrets" className="font-mono text-sm">
              {integration.secrets.map((secret) => (
                <li key={secret}>{secret}</li>
              ))}
            </ul>
          ),
        ],
      ]}
      action={
        <Button icon="chat" onClick={() => ask(`About the integration "${integration.name}": `)}>
          Ask the agent about it
        </Button>
      }
    />
  )
}
