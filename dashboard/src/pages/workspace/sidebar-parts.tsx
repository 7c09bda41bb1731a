// Sections and rows of the sidebar.
import type { ReactNode } from 'react'
import { useView } from '@/stores/view'
import { IconButton } from '@/ui/button'
import { Icon } from '@/ui/icons'
import { Menu, RightClick, type MenuList } from '@/ui/menu'
import { Skeleton } from '@/ui/state'
import { cx } from '@/util/class'

export function Section({
  name,
  none,
  count,
  loading,
  error,
  onRetry,
  more,
  children,
}: {
  name: string
  /** What will stand here, while nothing does. */
  none: string
  count: number
  loading: boolean
  error: string | null
  onRetry: () => void
  /** Opens the panel that shows all of it. */
  more?: { label: string; onSelect: () => void }
  children: ReactNode
}) {
  const closed = useView((state) => state.closed.includes(name))
  const toggle = useView((state) => state.toggleSection)
  return (
    <section>
      <h2 className="group/head relative mt-1 flex">
        <button
          type="button"
          aria-expanded={!closed}
          onClick={() => toggle(name)}
          className="flex h-7 w-full items-center gap-1 px-2 text-sm font-medium text-ink-2 select-none hover:text-ink max-md:h-10"
        >
          <Icon
            name="chevron"
            width={12}
            height={12}
            className={cx('text-ink-3', !closed && 'rotate-90')}
          />
          {name}
          {count > 0 && (
            <span
              className={cx(
                'tnum ml-auto pr-1 font-normal text-ink-3',
                more && 'group-focus-within/head:invisible group-hover/head:invisible max-md:mr-10',
              )}
            >
              {count}
            </span>
          )}
        </button>
        {more && (
          <span className="absolute right-1.5 opacity-0 group-hover/head:opacity-100 focus-within:opacity-100 max-md:opacity-100">
            <IconButton icon="open" label={more.label} side="right" onClick={more.onSelect} />
          </span>
        )}
      </h2>
      {!closed && (
        <div className="px-1.5">
          {loading ? (
            <Skeleton widths={[70, 52]} className="py-1 pl-5" />
          ) : error ? (
            <div className="py-1 pl-5 text-sm text-ink-2">
              {error}{' '}
              <button type="button" onClick={onRetry} className="text-blue underline">
                Try again
              </button>
            </div>
          ) : count === 0 ? (
            <div className="py-1 pr-2 pl-5 text-sm text-pretty text-ink-3">{none}</div>
          ) : (
            <ul>{children}</ul>
          )}
        </div>
      )}
    </section>
  )
}

/** One line: glyph, name, quiet words; more by right click or the dots. */
export function SideRow({
  glyph,
  name,
  note,
  title,
  active = false,
  menu,
  onOpen,
}: {
  glyph: ReactNode
  name: string
  note?: ReactNode
  title?: string | undefined
  active?: boolean
  menu: MenuList
  onOpen: () => void
}) {
  return (
    <li>
      <RightClick items={menu}>
        <div
          className={cx(
            'group relative flex h-7 items-center rounded-md hover:bg-hover has-focus-visible:bg-hover max-md:h-11',
            active && 'bg-hover',
          )}
        >
          <button
            type="button"
            onClick={onOpen}
            title={title}
            className="flex h-full min-w-0 grow items-center gap-2 rounded-md pr-2 pl-1.5 text-left"
          >
            <span className="flex w-3 shrink-0 justify-center">{glyph}</span>
            <span className="truncate">{name}</span>
            {note && (
              <span className="tnum ml-auto max-w-1/2 shrink-0 truncate text-sm text-ink-3 group-hover:opacity-0 max-md:mr-9 max-md:group-hover:opacity-100 group-has-data-[state=open]:opacity-0">
                {note}
              </span>
            )}
          </button>
          <span className="absolute right-0 opacity-0 group-hover:opacity-100 focus-within:opacity-100 has-data-[state=open]:opacity-100 max-md:opacity-100">
            <Menu items={menu} align="end">
              <button
                type="button"
                aria-label={`More for ${name}`}
                className="flex size-7 items-center justify-center rounded-md text-ink-3 hover:text-ink max-md:size-11"
              >
                <Icon name="more" />
              </button>
            </Menu>
          </span>
        </div>
      </RightClick>
    </li>
  )
}
