// A terminal of the machine. It lives on when this panel closes its page; opening the page again
// attaches to it.
import { useQueryClient } from '@tanstack/react-query'
import { lazy, Suspense, useCallback, useEffect, useState } from 'react'
import type { TerminalInfo } from '@/api/bridge-types'
import { wordsOf } from '@/api/http'
import { server } from '@/api/server'
import type { Machine } from '@/api/types'
import { MachineAsleep, MachineStopped } from '@/components/machine-gate'
import type { PanelProps } from '@/hooks/dock'
import { useProject } from '@/hooks/live'
import { useMayAsk } from '@/hooks/machine'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Failure, Skeleton, Strip } from '@/ui/state'

/** Whether a terminal lives. The machine is looked at first: asking one that rests would wake it. */
async function stillThere(
  machine: () => Promise<Machine>,
  terminals: () => Promise<TerminalInfo[]>,
  terminal: string,
): Promise<boolean | null> {
  const { state } = await machine()
  if (state === 'frozen') return null
  if (state !== 'running') return false
  return (await terminals()).some((each) => each.id === terminal)
}

const Screen = lazy(() => import('./screen').then((m) => ({ default: m.Screen })))

/** A size to begin with; the screen tells the real one at once. */
const COLS = 80
const ROWS = 24

type Phase =
  | { state: 'ready' }
  | { state: 'ended'; words: string }
  | { state: 'failed'; error: string }

export function TerminalPanel({
  params,
  visible,
  setParams,
  setTitle,
  close,
}: PanelProps<'terminal'>) {
  const { id, live } = useProject()
  const client = useQueryClient()
  const { isPending, closed, may, want } = useMayAsk()
  const [phase, setPhase] = useState<Phase>({ state: 'ready' })
  const { terminalId } = params

  useEffect(() => setTitle('Terminal'), [setTitle])

  // A new panel opens a new terminal, unless that would wake a machine that nobody asked to wake.
  useEffect(() => {
    if (terminalId || !may || phase.state !== 'ready') return
    let gone = false
    live.bridge.openTerminal(COLS, ROWS).then(
      (opened) => {
        if (gone) void live.bridge.closeTerminal(opened.id)
        else setParams({ terminalId: opened.id })
      },
      (error: unknown) => {
        if (!gone) setPhase({ state: 'failed', error: wordsOf(error) })
      },
    )
    return () => {
      gone = true
    }
  }, [terminalId, may, phase.state, live, setParams])

  const again = useCallback(() => {
    setPhase({ state: 'ready' })
    want()
    setParams({})
  }, [setParams, want])
  const onEnd = useCallback(
    (words: string) => {
      setPhase({ state: 'ended', words })
      void client.invalidateQueries({ queryKey: queries.terminals(id).queryKey })
    },
    [client, id],
  )

  if (closed) {
    return <MachineStopped>Terminals end with it. Starting it opens a new one here.</MachineStopped>
  }
  if (phase.state === 'failed') {
    return (
      <Failure
        title="The terminal could not be opened"
        message={phase.error}
        action={<Button onClick={again}>Try again</Button>}
      />
    )
  }
  if (!terminalId) {
    return may || isPending ? (
      <Skeleton className="p-4" words="Opening a terminal…" />
    ) : (
      <MachineAsleep onWake={want}>Opening a terminal wakes it.</MachineAsleep>
    )
  }
  return (
    <>
      {phase.state === 'ended' && (
        <Strip
          action={
            <>
              <Button onClick={again}>New terminal</Button>
              <Button variant="ghost" onClick={close}>
                Close
              </Button>
            </>
          }
        >
          {phase.words}
        </Strip>
      )}
      <div className="min-h-0 grow bg-sunk">
        <Suspense fallback={<Skeleton className="p-4" words="Opening a terminal…" />}>
          <Screen
            key={terminalId}
            url={live.bridge.terminalUrl(terminalId)}
            exists={() =>
              stillThere(
                () => server.machine(id),
                () => live.bridge.terminals(),
                terminalId,
              )
            }
            visible={visible}
            onEnd={onEnd}
          />
        </Suspense>
      </div>
    </>
  )
}
