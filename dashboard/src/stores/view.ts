// Small choices of how things are shown, kept in this browser.
import { create } from 'zustand'
import { load, save } from '@/util/storage'

const KEY = 'toft.view'

interface Kept {
  sidebar: boolean
  closed: readonly string[]
  /** How much of tool calls a chat shows. */
  density: 'quiet' | 'normal' | 'full'
  /** Whether the list of steps stands open above the composer. */
  steps: boolean
}

interface ViewState extends Kept {
  change: (change: Partial<Kept>) => void
  toggleSection: (section: string) => void
}

export const useView = create<ViewState>((set, get) => ({
  sidebar: true,
  closed: [],
  density: 'normal',
  steps: false,
  ...load<Partial<Kept>>(KEY, 1),
  change: (change) => {
    set(change)
    const { sidebar, closed, density, steps } = get()
    save<Kept>(KEY, 1, { sidebar, closed, density, steps })
  },
  toggleSection: (section) => {
    const { closed, change } = get()
    change({
      closed: closed.includes(section) ? closed.filter((s) => s !== section) : [...closed, section],
    })
  },
}))
