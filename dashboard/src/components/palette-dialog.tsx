// The palette as a floating window, and the question that a destructive command asks first.
import { Dialog } from 'radix-ui'
import { allCommands, useCommandStore } from '@/stores/commands'
import { usePalette } from '@/stores/palette'
import { Confirm } from '@/ui/dialog'
import { Palette } from './palette'

export function PaletteDialog() {
  const { open, asking, hide, show } = usePalette()
  const sets = useCommandStore((state) => state.sets)
  const command = asking ? allCommands(sets).find((each) => each.id === asking) : undefined

  return (
    <>
      <Dialog.Root
        open={open && !command?.touches}
        onOpenChange={(next) => (next ? show() : hide())}
      >
        <Dialog.Portal>
          <Dialog.Overlay className="fixed inset-0 z-40 bg-scrim" />
          <Dialog.Content
            aria-describedby={undefined}
            className="appear fixed top-[12vh] left-1/2 z-40 w-[min(620px,calc(100vw-16px))] -translate-x-1/2 overflow-hidden rounded-lg border bg-raised shadow-float max-md:top-2"
          >
            <Dialog.Title className="sr-only">Commands and projects</Dialog.Title>
            <Palette floating />
          </Dialog.Content>
        </Dialog.Portal>
      </Dialog.Root>
      {command?.touches && (
        <Confirm
          open={open}
          title={`${command.title}?`}
          touches={command.touches}
          verb={command.verb ?? command.title}
          onConfirm={command.run}
          onClose={hide}
        />
      )}
    </>
  )
}
