// A part of the panel: its name, what it is for in a sentence, and what is set.
import { useId, type ReactNode } from 'react'

export function Part({
  anchor,
  title,
  note,
  children,
}: {
  /** Where links within the panel lead. */
  anchor: string
  title: string
  note: ReactNode
  children: ReactNode
}) {
  const heading = useId()
  return (
    <section
      aria-labelledby={heading}
      data-part={anchor}
      className="scroll-mt-8 border-t pt-3 pb-6 first:border-t-0 first:pt-0"
    >
      <h2 id={heading} className="font-semibold">
        {title}
      </h2>
      <p className="text-sm text-pretty text-ink-3">{note}</p>
      <div className="mt-2">{children}</div>
    </section>
  )
}
