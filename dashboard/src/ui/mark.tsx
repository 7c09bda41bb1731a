// The mark: a plot seen from above, a square hedge with a gap for the gate. `Mark` for small sizes,
// `Plot` is the drawing of empty states, its hedge made of bushes.

/** The mark at text size. */
export function Mark({ size = 16, className }: { size?: number; className?: string }) {
  return (
    <svg viewBox="0 0 16 16" width={size} height={size} aria-hidden="true" className={className}>
      <path
        d="M6 13.6H3.4a1 1 0 0 1-1-1V3.4a1 1 0 0 1 1-1h9.2a1 1 0 0 1 1 1v9.2a1 1 0 0 1-1 1h-1.4"
        fill="none"
        stroke="currentColor"
        strokeWidth={2.4}
        strokeLinecap="round"
        strokeLinejoin="round"
      />
      <circle cx="8" cy="7.8" r="1.5" fill="currentColor" />
    </svg>
  )
}

/** Bushes along the hedge: centre and radius, set by hand so that none looks stamped. */
const BUSHES: readonly (readonly [number, number, number])[] = [
  [14, 14, 6.4], [25, 12.6, 5.6], [35, 13.6, 6.2], [46, 12.4, 5.7], [57, 13.4, 6.3], [68, 12.7, 5.6],
  [79, 13.6, 6.1], [83.4, 24, 5.7], [82.4, 35, 6.2], [83.6, 46, 5.6], [82.6, 57, 6.2], [83.4, 68, 5.7],
  [82, 80, 6.5], [70, 83, 5.7], [12.6, 25, 5.7], [13.5, 36, 6.2], [12.5, 47, 5.6], [13.4, 58, 6.2],
  [12.6, 69, 5.7], [14, 80.5, 6.4], [25, 83.2, 5.7], [36, 82.4, 6],
] // prettier-ignore

/** The plot as a drawing, for screens that have nothing to show yet. */
export function Plot({ size = 96 }: { size?: number }) {
  return (
    <svg viewBox="0 0 96 96" width={size} height={size} aria-hidden="true">
      <g fill="none" stroke="var(--line-strong)" strokeWidth="1.2" strokeLinecap="round">
        <path d="M53 92c-.6-9 1.4-15-1.5-22-2-5-5-7.6-4.5-13.5" strokeDasharray="2 3.4" />
        <path d="M28 30.500h17M28 35.500h17M28 40.500h17" />
        <path d="M57 30c3-2.5 8.5-2.5 11.5.4 2.6 2.7 2.4 7.7-.6 10-3.2 2.4-8.7 2-11.2-1-2.4-3-2.3-7.2.3-9.400z" />
      </g>
      <g fill="var(--moss-soft)" stroke="var(--moss)" strokeWidth="1.3">
        {BUSHES.map(([x, y, r]) => (
          <circle key={`${x},${y}`} cx={x} cy={y} r={r} />
        ))}
      </g>
      <circle cx="47" cy="53" r="2.6" fill="var(--moss)" />
    </svg>
  )
}
