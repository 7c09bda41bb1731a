// Menus: one list of entries, shown from a button or by right click.
import { ContextMenu, DropdownMenu } from 'radix-ui'
import type { ReactNode } from 'react'
import { cx } from '@/util/class'
import { Icon, type IconName } from './icons'
import { Keys } from './keys'

interface MenuEntry {
  label: string
  icon?: IconName
  keys?: string
  /** Quiet words at the end of the line. */
  note?: string
  danger?: boolean
  disabled?: boolean
  checked?: boolean
  onSelect: () => void
}

/** `null` draws a line. */
export type MenuList = (MenuEntry | null)[]

const CONTENT =
  'appear z-40 max-h-[min(420px,var(--radix-dropdown-menu-content-available-height,420px))] min-w-44 max-w-80 overflow-y-auto rounded-lg border bg-raised p-1 shadow-float'
const ITEM =
  'flex h-7 items-center gap-2 rounded-md px-2 outline-none select-none data-[highlighted]:bg-hover data-[disabled]:opacity-45 max-md:h-10'

function body(entry: MenuEntry) {
  return (
    <>
      {entry.checked !== undefined ? (
        <Icon name="check" className={entry.checked ? 'text-moss-text' : 'invisible'} />
      ) : (
        entry.icon && <Icon name={entry.icon} className="text-ink-3" />
      )}
      <span className="truncate">{entry.label}</span>
      {entry.note && <span className="ml-auto pl-3 text-sm text-ink-3">{entry.note}</span>}
      {entry.keys && <Keys chord={entry.keys} />}
    </>
  )
}

function entries(
  list: MenuList,
  Item: typeof DropdownMenu.Item | typeof ContextMenu.Item,
  Separator: typeof DropdownMenu.Separator | typeof ContextMenu.Separator,
) {
  return list.map((entry, index) =>
    entry === null ? (
      // A separator has no identity but its place.
      // oxlint-disable-next-line react/no-array-index-key
      <Separator key={`line-${index}`} className="mx-1 my-1 h-px bg-line" />
    ) : (
      <Item
        key={entry.label}
        disabled={entry.disabled ?? false}
        onSelect={entry.onSelect}
        className={cx(ITEM, entry.danger && 'text-red-text')}
      >
        {body(entry)}
      </Item>
    ),
  )
}

/** A menu that opens from its child, a button. */
export function Menu({
  items,
  align = 'start',
  children,
}: {
  items: MenuList
  align?: 'start' | 'end'
  children: ReactNode
}) {
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger asChild>{children}</DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content align={align} sideOffset={4} collisionPadding={8} className={CONTENT}>
          {entries(items, DropdownMenu.Item, DropdownMenu.Separator)}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  )
}

/** The same menu by right click (or a long press) on its child. */
export function RightClick({ items, children }: { items: MenuList; children: ReactNode }) {
  return (
    <ContextMenu.Root modal={false}>
      <ContextMenu.Trigger asChild>{children}</ContextMenu.Trigger>
      <ContextMenu.Portal>
        <ContextMenu.Content collisionPadding={8} className={CONTENT}>
          {entries(items, ContextMenu.Item, ContextMenu.Separator)}
        </ContextMenu.Content>
      </ContextMenu.Portal>
    </ContextMenu.Root>
  )
}
