// The machine's state in the top bar; opened, what is known of it and what is really enforced.
import { useState, type ReactNode } from 'react'
import type { Machine, Project } from '@/api/types'
import { LookGlyph, machineLook } from '@/components/project-state'
import { runById } from '@/hooks/commands'
import { useMachineActions } from '@/hooks/machine'
import { Button } from '@/ui/button'
import { Glyph } from '@/ui/glyph'
import { Popover } from '@/ui/popover'
import { Ago } from '@/ui/time'
import { bytes, capital } from '@/util/format'

export function MachinePopover({
  project,
  machine,
  look,
}: {
  project: Project
  machine: Machine | undefined
  look: ReturnType<typeof machineLook>
}) {
  const [open, setOpen] = useState(false)
  const { start, wake } = useMachineActions(project.id)
  const state = machine?.state ?? project.state
  const reason = machine?.stateReason ?? project.stateReason
  const running = state === 'running' || state === 'frozen'

  return (
    <Popover
      label="Machine"
      open={open}
      onOpenChange={setOpen}
      className="w-84 overflow-y-auto"
      trigger={
        <button
          type="button"
          className="flex h-7 shrink-0 items-center gap-1.5 rounded-md px-1.5 text-ink-2 hover:bg-hover"
        >
          <LookGlyph look={look} />
          {look.word}
        </button>
      }
    >
      <div className="flex items-center gap-2 border-b px-3 py-2">
        <LookGlyph look={look} />
        <span className="font-medium">{look.word}</span>
        <div className="ml-auto">
          {running && (
            <Button
              onClick={() => {
                setOpen(false)
                runById('machine.stop')
              }}
            >
              Stop
            </Button>
          )}
          {(state === 'stopped' || state === 'error') && (
            <Button variant="primary" disabled={start.isPending} onClick={() => start.mutate()}>
              {start.isPending ? 'Starting…' : 'Start'}
            </Button>
          )}
          {state === 'cold' && (
            <Button disabled={wake.isPending} onClick={() => wake.mutate()}>
              {wake.isPending ? 'Waking…' : 'Wake'}
            </Button>
          )}
        </div>
      </div>
      {reason && <p className="border-b px-3 py-2 text-ink-2">{reason}</p>}
      {machine && (
        <>
          <dl className="grid grid-cols-[96px_1fr] gap-x-3 gap-y-1 px-3 py-2.5">
            <Row name="Backend">{machine.backend}</Row>
            <Row name="Image">{machine.image}</Row>
            <Row name="Storage">{machine.storage}</Row>
            {running && machine.memoryBytes !== null && (
              <Row name="Memory">
                {bytes(machine.memoryBytes)}
                {machine.limits.memoryBytes !== null && (
                  <span className="text-ink-3"> of {bytes(machine.limits.memoryBytes)}</span>
                )}
              </Row>
            )}
            {running && machine.pids !== null && (
              <Row name="Processes">
                {machine.pids}
                {machine.limits.pids !== null && (
                  <span className="text-ink-3"> of {machine.limits.pids}</span>
                )}
              </Row>
            )}
            <Row name="Network">{egressWords(machine.egress)}</Row>
            {running && machine.startedAt !== null && (
              <Row name="Started">
                <Ago at={timeOf(machine.startedAt)} />
                {machine.wakes[0] && <span className="text-ink-3">, {machine.wakes[0].cause}</span>}
              </Row>
            )}
          </dl>
          {machine.enforced.length > 0 && (
            <ul className="flex flex-col gap-1 border-t px-3 py-2.5">
              {machine.enforced.map((ability) => (
                <li key={ability.name} className="flex gap-2">
                  <span className="mt-1">
                    <Glyph
                      shape={ability.enforced ? 'tick' : 'cross'}
                      tone={ability.enforced ? 'moss' : 'amber'}
                      title={ability.enforced ? 'enforced' : 'not enforced'}
                    />
                  </span>
                  <span className="min-w-0">
                    <span className="font-medium">{capital(ability.name)}</span>{' '}
                    <span className="text-ink-3">{ability.how}</span>
                  </span>
                </li>
              ))}
            </ul>
          )}
        </>
      )}
    </Popover>
  )
}

function Row({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-ink-3">{name}</dt>
      <dd className="tnum min-w-0 break-words">{children}</dd>
    </>
  )
}

function timeOf(at: string | number): number {
  return typeof at === 'number' ? at : Date.parse(at)
}

function egressWords(egress: Machine['egress']): string {
  const level = typeof egress === 'string' ? egress : egress?.level
  switch (level) {
    case 'none':
      return 'the model gateway only'
    case 'allow-list': {
      const hosts = typeof egress === 'object' ? (egress?.hosts ?? []) : []
      return `${hosts.length} allowed hosts`
    }
    case 'open':
      return 'public hosts, logged'
    default:
      return level ?? 'unknown'
  }
}
