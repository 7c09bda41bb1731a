// What the project's model calls cost: by prompt, conversation and model. How often it may ask, and whom else.
import { useEffect } from 'react'
import type { UsageRow } from '@/api/usage'
import { BudgetForm } from '@/components/usage/budget-form'
import { UsageView } from '@/components/usage/usage-view'
import { useOpenPanel, type PanelProps } from '@/hooks/dock'
import { useProject } from '@/hooks/live'
import { FallbacksPart } from './fallbacks-part'
import { ModelLimitsPart } from './model-limits-form'

const WAYS = [
  { value: 'run', label: 'Prompts' },
  { value: 'session', label: 'Conversations' },
  { value: 'model', label: 'Models' },
] as const

export function CostPanel({ setTitle }: PanelProps<'cost'>) {
  const { id } = useProject()
  const open = useOpenPanel()
  useEffect(() => setTitle('Cost'), [setTitle])

  const link = (row: UsageRow, name: string) => {
    // A prompt's row names its conversation, a conversation's row is one. A model is nowhere to be seen.
    const session = row.provider === undefined ? (row.session ?? row.key) : null
    if (!session) return name
    return (
      <button
        type="button"
        className="max-w-full truncate text-left hover:underline"
        onClick={() => open({ kind: 'chat', sessionId: session })}
      >
        {name}
      </button>
    )
  }
  return (
    <div className="min-h-0 grow overflow-y-auto">
      <div className="mx-auto max-w-160 px-5 py-4 max-md:px-4">
        <UsageView
          project={id}
          ways={WAYS}
          link={link}
          empty="No model was asked in these days. What the agent, or any other program in the machine, asks of a model is added up here. The demo asks nobody and costs nothing."
        />
        <section className="mt-5 border-t pt-3">
          <h3 className="font-semibold">Budget</h3>
          <p className="text-sm text-pretty text-ink-3">
            Where one is spent the agent stands still, and goes on by itself when it is raised.
          </p>
          <div className="mt-2">
            <BudgetForm project={id} />
          </div>
        </section>
        <ModelLimitsPart />
        <FallbacksPart />
      </div>
    </div>
  )
}
