// What is typed and not sent yet, per conversation of a project: forks share the ids of conversations. Survives a reload; cleared once a send was
// accepted.
import { create } from 'zustand'
import { load, save } from '@/util/storage'

const KEY = 'toft.drafts'
/** The oldest go first. */
const DRAFTS_MAX = 100

/** Under which name a draft is kept; of a conversation that is not made yet without its id. */
export function draftKey(project: string, session: string | null): string {
  return `${project}:${session ?? 'new'}`
}

interface DraftState {
  drafts: Record<string, string>
  set: (session: string, text: string) => void
}

export const useDrafts = create<DraftState>((set, get) => ({
  drafts: load<Record<string, string>>(KEY, 1) ?? {},
  set: (session, text) => {
    const { [session]: _old, ...others } = get().drafts
    const entries = Object.entries(text ? { ...others, [session]: text } : others)
    const drafts = Object.fromEntries(entries.slice(-DRAFTS_MAX))
    save(KEY, 1, drafts)
    set({ drafts })
  },
}))

/** Adds to what is typed: texts that came back from the queue, or words from another panel. */
export function addToDraft(session: string, text: string): void {
  const { drafts, set } = useDrafts.getState()
  const old = drafts[session]?.trimEnd()
  set(session, old ? `${old}\n\n${text}` : text)
}
