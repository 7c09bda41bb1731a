// Plans as a person is changing them, by the plan's id: a row that scrolls away, or a reload, loses
// nothing. Gone once the plan was decided on.
import { create } from 'zustand'
import type { Plan } from '@/api/bridge-types'
import { load, save } from '@/util/storage'

const KEY = 'toft.plans'
/** The oldest go first. */
const PLANS_MAX = 20

interface EditState {
  edits: Record<string, Plan>
  set: (planId: string, plan: Plan | null) => void
}

export const usePlanEdits = create<EditState>((set, get) => ({
  edits: load<Record<string, Plan>>(KEY, 1) ?? {},
  set: (planId, plan) => {
    const { [planId]: _old, ...others } = get().edits
    const entries = Object.entries(plan ? { ...others, [planId]: plan } : others)
    const edits = Object.fromEntries(entries.slice(-PLANS_MAX))
    save(KEY, 1, edits)
    set({ edits })
  },
}))
