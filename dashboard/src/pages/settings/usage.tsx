// What all projects, and programs outside, spend on models.
import { Link } from '@tanstack/react-router'
import type { UsageRow } from '@/api/usage'
import { BudgetForm } from '@/components/usage/budget-form'
import { UsageView } from '@/components/usage/usage-view'

const WAYS = [
  { value: 'project', label: 'Projects' },
  { value: 'model', label: 'Models' },
  { value: 'provider', label: 'Providers' },
] as const

export function UsageOfAll({ admin }: { admin: boolean }) {
  return (
    <>
      <UsageView
        project={null}
        ways={WAYS}
        link={projectLink}
        empty="No model was asked in these days. The demo asks nobody and costs nothing."
      />
      <h3 className="mt-5 font-semibold">Budget of all together</h3>
      <p className="mb-2 max-w-[64ch] text-sm text-pretty text-ink-3">
        Programs outside count in. Each project may have one of its own beside it, in its panel
        Cost.
      </p>
      <BudgetForm project={null} readOnly={!admin} />
    </>
  )
}

/** Only rows of projects say whether theirs is deleted. */
function projectLink({ key, deleted }: UsageRow, name: string) {
  if (deleted !== false || key === null) return name
  return (
    <Link to="/projects/$id" params={{ id: key }} className="hover:underline">
      {name}
    </Link>
  )
}
