// One service: its process, what may be done about it; opened, how it is declared and what it prints.
import type { ReactNode } from 'react'
import type { Service } from '@/api/bridge-types'
import { LookGlyph } from '@/components/project-state'
import { serviceLook } from '@/components/row-state'
import { useAskAgent } from '@/hooks/ask-agent'
import { useOpenPanel } from '@/hooks/dock'
import { useMachineState } from '@/hooks/machine'
import { useServiceAction } from '@/hooks/services'
import { Button, IconButton } from '@/ui/button'
import { Icon } from '@/ui/icons'
import { Ago } from '@/ui/time'
import { cx } from '@/util/class'
import { plural } from '@/util/format'
import { ServiceLog } from './service-log'

const RESTARTS = {
  always: 'always, when it ends',
  'on-failure': 'when it fails',
  never: 'never',
} as const

export function ServiceLine({
  service,
  open,
  visible,
  onToggle,
}: {
  service: Service
  /** Whether the panel is on screen. */
  visible: boolean
  open: boolean
  onToggle: () => void
}) {
  const { alive, closed } = useMachineState()
  const openPanel = useOpenPanel()
  const action = useServiceAction()
  const look = serviceLook(service, alive)
  const process = alive ? (service.process ?? null) : null
  const { port, name } = service
  const supervised = Boolean(service.command)
  const runs = process?.state === 'running' || process?.state === 'backoff'
  const run = (verb: 'start' | 'stop' | 'restart') => action.mutate({ service, verb })
  const facts = [
    (open ? null : (service.problem ?? process?.problem)) ?? null,
    process?.restartToApply ? 'restart to apply the new secrets' : null,
    process && process.restarts > 0 ? `started again ${plural(process.restarts, 'time')}` : null,
    process && !runs && process.exitCode !== null ? `exit code ${process.exitCode}` : null,
  ].filter((fact) => fact !== null)

  return (
    <li className={cx(open && 'bg-ground')}>
      <div className="flex min-h-9 items-center gap-1 pr-1.5 hover:bg-hover max-md:min-h-12">
        <button
          type="button"
          aria-expanded={open}
          onClick={onToggle}
          className="flex min-h-9 min-w-0 grow items-center gap-2 pl-3 text-left -outline-offset-2"
        >
          <Icon
            name="chevron"
            width={12}
            height={12}
            className={cx('text-ink-3', open && 'rotate-90')}
          />
          <LookGlyph look={look} />
          <span className="truncate font-medium">{name}</span>
          <span
            className={cx(
              'shrink-0 text-sm',
              look.tone === 'red'
                ? 'text-red-text'
                : look.tone === 'amber'
                  ? 'text-amber-text'
                  : 'text-ink-3',
            )}
          >
            {look.word}
          </span>
          <span className="tnum truncate text-sm text-ink-3 max-sm:hidden">{facts.join(', ')}</span>
        </button>
        {port !== null && (
          <button
            type="button"
            onClick={() => openPanel({ kind: 'app', port, title: name })}
            className="tnum flex h-7 shrink-0 items-center rounded-md px-1.5 text-blue hover:underline max-md:h-10"
            title="Open it in a panel"
          >
            :{port}
          </button>
        )}
        {supervised && !closed && (
          <>
            {runs ? (
              <>
                <IconButton
                  icon="reload"
                  label={`Start ${name} again`}
                  disabled={action.isPending}
                  onClick={() => run('restart')}
                />
                <IconButton
                  icon="stop"
                  label={`Stop ${name}`}
                  disabled={action.isPending}
                  onClick={() => run('stop')}
                />
              </>
            ) : (
              <IconButton
                icon="play"
                label={`Start ${name}`}
                disabled={action.isPending}
                onClick={() => run('start')}
              />
            )}
          </>
        )}
      </div>
      {open && <Declared service={service} visible={visible} />}
    </li>
  )
}

function Declared({ service, visible }: { service: Service; visible: boolean }) {
  const { running } = useMachineState()
  const ask = useAskAgent()
  const { id, name, command, cwd, env, restart, description, process, type, schedule } = service
  const problem = service.problem ?? process?.problem
  const variables = Object.entries(env ?? {})
  return (
    <div className="pb-3">
      {problem && <p className="px-3 pb-1 pl-8 text-pretty text-amber-text">{problem}</p>}
      {description && <p className="px-3 pl-8 text-pretty text-ink-2">{description}</p>}
      <dl className="mt-1 grid grid-cols-[88px_1fr] gap-x-3 gap-y-1 px-3 pl-8">
        <Fact name="Kind">{type}</Fact>
        {schedule && <Fact name="Schedule">{schedule}</Fact>}
        <Fact name="Command">
          {command ? (
            <code className="text-sm break-all">{command}</code>
          ) : (
            <span className="text-ink-3">
              none: nobody starts it or keeps it running. Whoever started it did so by hand.
            </span>
          )}
        </Fact>
        {command && (
          <>
            <Fact name="Folder">
              <code className="text-sm break-all">{cwd ?? '/home/project'}</code>
            </Fact>
            {variables.length > 0 && (
              <Fact name="Environment">
                <ul className="font-mono text-sm">
                  {variables.map(([key, value]) => (
                    <li key={key} className="break-all">
                      {key}={value}
                    </li>
                  ))}
                </ul>
              </Fact>
            )}
            <Fact name="Comes back">{RESTARTS[restart ?? 'on-failure'] ?? restart}</Fact>
          </>
        )}
        {running && process && process.since !== null && (
          <Fact name="Since">
            <Ago at={process.since} />
            {process.pid !== null && <span className="text-ink-3">, pid {process.pid}</span>}
          </Fact>
        )}
      </dl>
      <div className="mt-2 flex gap-2 px-3 pl-8">
        <Button icon="chat" onClick={() => ask(`About the service "${name}": `)}>
          Ask the agent about it
        </Button>
      </div>
      {command && (
        <div className="mx-3 mt-2 ml-8 overflow-hidden rounded-md border">
          <ServiceLog id={id} visible={visible} running={running} />
        </div>
      )}
    </div>
  )
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-ink-3">{name}</dt>
      <dd className="tnum min-w-0 break-words">{children}</dd>
    </>
  )
}
