// The one registry of everything that can be done: it feeds the palette, the shortcuts and the menus.
import { create } from 'zustand'
import type { IconName } from '@/ui/icons'

export interface Command {
  /** Stable name, `area.verb`. */
  id: string
  title: string
  group: 'Projects' | 'Actions' | 'Panels' | 'Chat' | 'Machine' | 'Appearance'
  icon?: IconName
  /** The first is shown; the others work too, where a browser keeps the first for itself. */
  keys?: readonly string[]
  /** More words to find it by. */
  words?: string
  /** Quiet words at the end of the line. */
  note?: string
  /** What it will touch: asked before it runs. */
  touches?: string
  /** The word on the button that confirms. */
  verb?: string
  /** Only a shortcut here, not a line in the palette. */
  hidden?: boolean
  /** Greyed, with this reason. */
  disabled?: string | undefined
  run: () => void
}

interface CommandState {
  sets: readonly { owner: symbol; commands: readonly Command[] }[]
  put: (owner: symbol, commands: readonly Command[]) => void
  drop: (owner: symbol) => void
}

export const useCommandStore = create<CommandState>((set, get) => ({
  sets: [],
  put: (owner, commands) => {
    const { sets } = get()
    set({
      sets: sets.some((each) => each.owner === owner)
        ? sets.map((each) => (each.owner === owner ? { owner, commands } : each))
        : [...sets, { owner, commands }],
    })
  },
  drop: (owner) => set({ sets: get().sets.filter((each) => each.owner !== owner) }),
}))

/** All of them; a later owner's command replaces an earlier one of the same id. */
export function allCommands(sets: CommandState['sets']): Command[] {
  const byId = new Map<string, Command>()
  for (const { commands } of sets) for (const command of commands) byId.set(command.id, command)
  return [...byId.values()]
}
