// The name of a control, after a moment of hovering.
import { Tooltip } from 'radix-ui'
import type { ReactNode } from 'react'
import { Keys } from './keys'

/** Once, around the whole app. */
export function HintProvider({ children }: { children: ReactNode }) {
  return (
    <Tooltip.Provider delayDuration={500} skipDelayDuration={200}>
      {children}
    </Tooltip.Provider>
  )
}

/** Shows `text` beside its child on hover and focus. */
export function Hint({
  text,
  keys,
  side = 'bottom',
  children,
}: {
  text: ReactNode
  keys?: string
  side?: 'top' | 'bottom' | 'right'
  children: ReactNode
}) {
  return (
    <Tooltip.Root>
      <Tooltip.Trigger asChild>{children}</Tooltip.Trigger>
      <Tooltip.Portal>
        <Tooltip.Content
          side={side}
          sideOffset={6}
          collisionPadding={8}
          className="appear z-50 flex max-w-80 items-center gap-2 rounded-md border bg-raised px-2 py-1 text-sm text-ink shadow-float"
        >
          {text}
          {keys && <Keys chord={keys} />}
        </Tooltip.Content>
      </Tooltip.Portal>
    </Tooltip.Root>
  )
}
