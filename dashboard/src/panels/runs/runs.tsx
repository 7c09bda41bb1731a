// Work that is done unattended: a list of runs, one of them, and the form that asks for another.
import { useEffect, useState } from 'react'
import type { PanelProps } from '@/hooks/dock'
import { useProject } from '@/hooks/live'
import { useMachineState } from '@/hooks/machine'
import { useDrafts } from '@/stores/drafts'
import { Strip } from '@/ui/state'
import { CompareView } from './compare-view'
import { RunDetail } from './run-detail'
import { promptKey, RunForm } from './run-form'
import { RunList } from './run-list'

export function RunsPanel({ params, visible, setParams, setTitle }: PanelProps<'runs'>) {
  const { id: project } = useProject()
  const { closed } = useMachineState()
  const { id, compare, fresh } = params
  /** Who went from one to the other by hand has the focus there. */
  const [from, setFrom] = useState<string | null>(null)
  useEffect(() => setTitle('Runs'), [setTitle])

  const show = (run: string | null) => {
    setFrom(run ?? id ?? compare ?? null)
    setParams(run === null ? {} : { id: run })
  }
  const showAll = (comparison: string) => {
    setFrom(comparison)
    setParams({ compare: comparison })
  }
  const asks = (prompt?: string) => {
    if (prompt !== undefined) useDrafts.getState().set(promptKey(project), prompt)
    setParams({ ...params, fresh: true })
  }
  return (
    <>
      {closed && (
        <Strip tone="amber">The machine does not run: runs wait until you start it.</Strip>
      )}
      {compare !== undefined ? (
        <CompareView
          key={compare}
          comparisonId={compare}
          focused={from !== null}
          onBack={() => show(null)}
          onRun={show}
        />
      ) : id === undefined ? (
        <RunList from={from} onShow={show} onCompare={showAll} onAsk={() => asks()} />
      ) : (
        <RunDetail
          key={id}
          runId={id}
          focused={from !== null}
          visible={visible}
          onShow={show}
          onAgain={asks}
        />
      )}
      {fresh && (
        <RunForm
          onAsked={({ run, comparison }) => {
            if (comparison !== undefined) showAll(comparison)
            else if (run !== undefined) show(run)
          }}
          onClose={() => {
            const { fresh: _, ...rest } = params
            setParams(rest)
          }}
        />
      )}
    </>
  )
}
