// What runs beside the agent: each service with its process, opened with its log. They are declared in
// the inspect database, by the agent or by SQL; here they are started, stopped and watched.
import { useEffect, useState } from 'react'
import { wordsOf } from '@/api/http'
import { useAskAgent } from '@/hooks/ask-agent'
import type { PanelProps } from '@/hooks/dock'
import { useMachineState } from '@/hooks/machine'
import { useServices } from '@/hooks/services'
import { Button } from '@/ui/button'
import { Empty, Failure, Skeleton, Strip } from '@/ui/state'
import { ServiceLine } from './service-line'

export function ServicesPanel({ params, visible, setTitle }: PanelProps<'services'>) {
  const { services, data, error, isPending, refetch } = useServices()
  const { machine, alive } = useMachineState()
  const ask = useAskAgent()
  useEffect(() => setTitle('Services'), [setTitle])

  if (isPending) return <Skeleton className="p-4" words="Reading the services…" />
  if (!data) {
    return (
      <Failure
        title="The services could not be read"
        message={wordsOf(error)}
        action={<Button onClick={() => void refetch()}>Try again</Button>}
      />
    )
  }
  if (services.length === 0) {
    return (
      <Empty
        title="No services yet"
        action={
          <Button icon="chat" onClick={() => ask('Declare a service for the app and start it: ')}>
            Ask the agent for one
          </Button>
        }
      >
        A service is a program that is kept running: an app, an API, a worker. The agent declares
        them in the inspect database, with the command that starts them; they come back after the
        machine was cold or went back to a checkpoint.
      </Empty>
    )
  }
  return (
    <>
      {machine && !alive && (
        <Strip>
          {machine.state === 'cold'
            ? 'The machine is cold: services with a command come back when it wakes.'
            : 'The machine does not run: no service does.'}
        </Strip>
      )}
      <ServiceList
        key={params.id}
        services={services}
        chosen={params.id ?? null}
        visible={visible}
      />
    </>
  )
}

function ServiceList({
  services,
  chosen,
  visible,
}: {
  services: ReturnType<typeof useServices>['services']
  chosen: string | null
  visible: boolean
}) {
  const [open, setOpen] = useState(chosen)
  return (
    <div className="min-h-0 grow overflow-y-auto">
      <ul className="divide-y divide-line border-b">
        {services.map((service) => (
          <ServiceLine
            key={service.id}
            service={service}
            visible={visible}
            open={open === service.id}
            onToggle={() => setOpen(open === service.id ? null : service.id)}
          />
        ))}
      </ul>
    </div>
  )
}
