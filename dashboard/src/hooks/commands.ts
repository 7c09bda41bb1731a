// Registers commands for as long as a component lives, and turns keys into commands.
import { useEffect, useState } from 'react'
import { allCommands, useCommandStore, type Command } from '@/stores/commands'
import { usePalette } from '@/stores/palette'
import { matches } from '@/util/keys'

/** The commands must be memoised: a new list is a new registration. */
export function useCommands(commands: readonly Command[]): void {
  const [owner] = useState(() => Symbol('commands'))
  const put = useCommandStore((state) => state.put)
  const drop = useCommandStore((state) => state.drop)
  useEffect(() => put(owner, commands), [put, owner, commands])
  useEffect(() => () => drop(owner), [drop, owner])
}

/** Runs a command, or asks first when it destroys something. */
export function runCommand(command: Command): void {
  if (command.disabled) return
  if (command.touches) {
    usePalette.getState().ask(command.id)
    return
  }
  usePalette.getState().hide()
  command.run()
}

/** Runs a command by its name, if it is there just now. */
export function runById(id: string): void {
  const command = allCommands(useCommandStore.getState().sets).find((each) => each.id === id)
  if (command) runCommand(command)
}

/** Terminals keep plain Ctrl keys: only chords with Shift or Alt, and Cmd on a Mac, get past them. */
function ownedByTerminal(event: KeyboardEvent): boolean {
  const inside = event.target instanceof Element && event.target.closest('.xterm') !== null
  return inside && event.ctrlKey && !event.shiftKey && !event.altKey
}

/** Once, for the whole page. */
export function useShortcuts(): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.isComposing || ownedByTerminal(event)) return
      for (const command of allCommands(useCommandStore.getState().sets)) {
        if (command.keys?.some((chord) => matches(event, chord))) {
          event.preventDefault()
          event.stopPropagation()
          runCommand(command)
          return
        }
      }
    }
    addEventListener('keydown', onKey, { capture: true })
    return () => removeEventListener('keydown', onKey, { capture: true })
  }, [])
}
