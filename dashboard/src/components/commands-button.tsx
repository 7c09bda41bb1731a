// Opens the palette: for who does not know the key yet, and for who has no keyboard.
import { usePalette } from '@/stores/palette'
import { Icon } from '@/ui/icons'
import { Keys } from '@/ui/keys'

export function CommandsButton() {
  return (
    <button
      type="button"
      onClick={() => usePalette.getState().show()}
      className="flex h-7 items-center gap-2 rounded-md border bg-surface pr-1.5 pl-2 text-ink-2 select-none hover:bg-hover max-md:h-9 max-md:border-0 max-md:bg-transparent"
    >
      <Icon name="search" className="text-ink-3" />
      <span className="max-md:sr-only">Commands</span>
      <Keys chord="mod+k" />
    </button>
  )
}
