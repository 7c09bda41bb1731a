// The machine's state in the top bar; opened, what that means and the most important of it. The rest is
// in its panel.
import { useState, type ReactNode } from 'react'
import type { Machine, Project } from '@/api/types'
import { egressWords, MEANING } from '@/components/machine-words'
import { LookGlyph, machineLook } from '@/components/project-state'
import { runById } from '@/hooks/commands'
import { useMachineActions } from '@/hooks/machine'
import { Button } from '@/ui/button'
import { Popover } from '@/ui/popover'
import { Ago } from '@/ui/time'
import { bytes, momentOf } from '@/util/format'

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
  const { start, wake, freeze, thaw } = useMachineActions(project.id)
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
        <div className="ml-auto flex gap-1.5">
          {state === 'running' && machine?.can.freeze && (
            <Button disabled={freeze.isPending} onClick={() => freeze.mutate()}>
              Freeze
            </Button>
          )}
          {state === 'frozen' && (
            <Button variant="primary" disabled={thaw.isPending} onClick={() => thaw.mutate()}>
              Thaw
            </Button>
          )}
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
      <p className="border-b px-3 py-2 text-pretty text-ink-2">{MEANING[state]}</p>
      {reason && <p className="border-b px-3 py-2 text-ink-2">{reason}</p>}
      {machine && (
        <>
          <dl className="grid grid-cols-[96px_1fr] gap-x-3 gap-y-1 px-3 py-2.5">
            <Row name="Backend">{machine.backend}</Row>
            <Row name="Image">{machine.image}</Row>
            <Row name="Storage">{machine.storage}</Row>
            {running && typeof machine.use?.memoryBytes === 'number' && (
              <Row name="Memory">
                {bytes(machine.use?.memoryBytes)}
                {machine.limits.memoryBytes !== null && (
                  <span className="text-ink-3"> of {bytes(machine.limits.memoryBytes)}</span>
                )}
              </Row>
            )}
            {running && typeof machine.use?.pids === 'number' && (
              <Row name="Processes">
                {machine.use?.pids}
                {machine.limits.pids !== null && (
                  <span className="text-ink-3"> of {machine.limits.pids}</span>
                )}
              </Row>
            )}
            <Row name="Network">{egressWords(machine.egress)}</Row>
            {running && machine.startedAt !== null && (
              <Row name="Started">
                <Ago at={momentOf(machine.startedAt)} />
                {machine.wakes[0] && <span className="text-ink-3">, {machine.wakes[0].cause}</span>}
              </Row>
            )}
          </dl>
          <div className="flex gap-2 border-t px-3 py-2">
            <Button
              icon="machine"
              onClick={() => {
                setOpen(false)
                runById('panel.machine')
              }}
            >
              Limits, disk, rest
            </Button>
            <Button
              icon="pin"
              onClick={() => {
                setOpen(false)
                runById('panel.checkpoints')
              }}
            >
              Checkpoints
            </Button>
          </div>
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
