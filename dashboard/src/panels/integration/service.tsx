// One service: an app, an API, a worker or a schedule.
import { useQuery } from '@tanstack/react-query'
import { useEffect } from 'react'
import { useOpenPanel, type PanelProps } from '@/hooks/dock'
import { useAskAgent } from '@/hooks/ask-agent'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Glyph } from '@/ui/glyph'
import { Empty, Skeleton } from '@/ui/state'
import { Facts } from './facts'

export function ServicePanel({ params, setTitle }: PanelProps<'service'>) {
  const { id } = useProject()
  const { data, isPending } = useQuery(queries.inspect(id))
  const ask = useAskAgent()
  const open = useOpenPanel()
  const service = data?.services.find((each) => each.id === params.id)
  const name = service?.name ?? 'Service'
  useEffect(() => setTitle(name), [name, setTitle])

  if (isPending) return <Skeleton className="p-5" />
  if (!service) {
    return (
      <Empty title="This service is gone" drawing={false}>
        The agent removed it from the inspect database.
      </Empty>
    )
  }
  const running = service.status === 'running'
  const failed = service.status === 'error'
  const { port } = service
  return (
    <Facts
      name={service.name}
      description={service.description}
      facts={[
        [
          'State',
          <span key="state" className="flex items-center gap-1.5">
            <Glyph
              shape={failed ? 'cross' : running ? 'play' : 'square'}
              tone={failed ? 'red' : running ? 'moss' : 'quiet'}
            />
            {failed ? 'failed' : service.status}
          </span>,
        ],
        ['Kind', service.type],
        ...(port === null
          ? []
          : ([
              [
                'Port',
                <span key="port" className="tnum">
                  {port}
                </span>,
              ],
            ] as const)),
        ...(service.schedule
          ? ([
              [
                'Schedule',
                <span key="schedule" className="font-mono text-sm">
                  {service.schedule}
                </span>,
              ],
            ] as const)
          : []),
      ]}
      action={
        <>
          {port !== null && (
            <Button
              variant="primary"
              icon="app"
              onClick={() => open({ kind: 'app', port, title: service.name })}
            >
              Open
            </Button>
          )}
          <Button icon="log" onClick={() => open({ kind: 'log' })}>
            Processes and log
          </Button>
          <Button icon="chat" onClick={() => ask(`About the service "${service.name}": `)}>
            Ask the agent about it
          </Button>
        </>
      }
    />
  )
}
