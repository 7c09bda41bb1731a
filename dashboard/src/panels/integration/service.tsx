// One service: an app, an API, a worker or a schedule.
import { serviceLook } from '@/components/row-state'
import { useOpenPanel, type PanelProps } from '@/hooks/dock'
import { useMachineState } from '@/hooks/machine'
import { Button } from '@/ui/button'
import { Facts } from './facts'
import { AskButton, RowPanel } from './row-panel'

export function ServicePanel({ params, setTitle }: PanelProps<'service'>) {
  const open = useOpenPanel()
  const { up } = useMachineState()
  return (
    <RowPanel
      word="service"
      find={({ services }) => services.find((each) => each.id === params.id)}
      setTitle={setTitle}
    >
      {({ name, description, status, type, port, schedule }) => (
        <Facts
          name={name}
          description={description}
          state={serviceLook(status, up)}
          facts={[
            ['Kind', type],
            ['Port', port],
            ['Schedule', schedule ? <span className="font-mono text-sm">{schedule}</span> : null],
          ]}
          action={
            <>
              {port !== null && (
                <Button
                  variant="primary"
                  icon="app"
                  onClick={() => open({ kind: 'app', port, title: name })}
                >
                  Open
                </Button>
              )}
              <Button icon="log" onClick={() => open({ kind: 'log' })}>
                Processes and log
              </Button>
              <AskButton about={`the service "${name}"`} />
            </>
          }
        />
      )}
    </RowPanel>
  )
}
