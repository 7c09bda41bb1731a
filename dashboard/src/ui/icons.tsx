// The icons of the interface, drawn on a 16 px grid with one stroke width. Decorative: the control
// that holds one carries the name.
import type { SVGProps } from 'react'

const PATHS = {
  add: 'M8 3v10M3 8h10',
  app: 'M2.5 4a1 1 0 0 1 1-1h9a1 1 0 0 1 1 1v8a1 1 0 0 1-1 1h-9a1 1 0 0 1-1-1zM2.5 6.2h11M4.6 4.6h.01M6.4 4.6h.01',
  arrowDown: 'M8 3v10M4 9l4 4 4-4',
  arrowUp: 'M8 13V3M4 7l4-4 4 4',
  back: 'M9.5 3.5 5 8l4.5 4.5',
  chat: 'M3 3.5h10v7.5H7.2L4.5 13.2V11H3z',
  check: 'm3.5 8.5 3 3 6-7',
  chevron: 'm6 4 4 4-4 4',
  chevronDown: 'm4 6 4 4 4-4',
  close: 'm4 4 8 8M12 4l-8 8',
  coins:
    'M3 4.500c0-1 2-1.800 4.500-1.800s4.500.8 4.500 1.800-2 1.800-4.500 1.800S3 5.500 3 4.500M3 4.500v3.500c0 1 2 1.800 4.500 1.800s4.500-.8 4.500-1.800V4.500M3 8v3.500c0 1 2 1.800 4.500 1.800s4.500-.8 4.500-1.800V8',
  copy: 'M5.5 5.5v-2a1 1 0 0 1 1-1h6a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1h-2M3.5 5.5h6a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1h-6a1 1 0 0 1-1-1v-6a1 1 0 0 1 1-1z',
  download: 'M8 2.5v7.5M4.8 7 8 10.2 11.2 7M3 13.2h10',
  edit: 'm3 13 .6-2.8 7-7 2.2 2.2-7 7z',
  file: 'M4 2.5h5l3 3v8H4zM9 2.5v3h3',
  flag: 'M4 13.500V2.800M4 3.300h8.500l-2.200 2.700 2.200 2.700H4',
  folder: 'M2.5 4h4l1.4 1.6h5.6v7H2.5z',
  calendar: 'M2.5 4h11v9h-11zM2.5 7h11M5.5 2.5V5M10.5 2.5V5',
  fork: 'M4.5 5.300a1.4 1.4 0 1 0 0-2.8 1.4 1.4 0 0 0 0 2.800M4.5 13.500a1.4 1.4 0 1 0 0-2.8 1.4 1.4 0 0 0 0 2.800M11.5 6.300a1.4 1.4 0 1 0 0-2.8 1.4 1.4 0 0 0 0 2.800M4.5 5.300v5.400M11.5 6.300c0 2.6-4 2-6.7 4.4',
  gear: 'M8 5.6a2.4 2.4 0 1 1 0 4.8 2.4 2.4 0 0 1 0-4.8M8 2v1.6M8 12.4V14M2 8h1.6M12.4 8H14M3.8 3.8l1.1 1.1M11.1 11.1l1.1 1.1M12.2 3.8l-1.1 1.1M4.9 11.1l-1.1 1.1',
  globe:
    'M8 2.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11M2.5 8h11M8 2.5c3.6 3.600 3.6 7.400 0 11M8 2.500c-3.6 3.600-3.6 7.400 0 11',
  image: 'M2.5 3.5h11v9h-11zM2.5 10.8 6 7.6l2.8 2.6 1.6-1.4 3.1 2.6M10.6 6.2h.01',
  key: 'M6 10a3 3 0 1 1 2.2-1L13 9v2M10.6 9v1.6M8.2 9 6 10',
  link: 'M6.6 9.4 9.4 6.6M7 4.6l1.4-1.4a3 3 0 0 1 4.3 4.3L11.3 9M9 11.4l-1.4 1.4a3 3 0 0 1-4.3-4.3L4.7 7',
  list: 'M6 4h7.5M6 8h7.5M6 12h7.5M3 4h.01M3 8h.01M3 12h.01',
  log: 'M3 3h10M3 6.3h7M3 9.7h10M3 13h5',
  max: 'M3 6V3h3M13 6V3h-3M3 10v3h3M13 10v3h-3',
  machine: 'M3 3h10v4H3zM3 9h10v4H3zM5.3 5h.01M5.3 11h.01M8 5h2.700M8 11h2.7',
  moon: 'M12.8 9.6A5.2 5.2 0 1 1 6.4 3.200a4.2 4.2 0 0 0 6.4 6.400z',
  more: 'M3.5 8h.01M8 8h.01M12.5 8h.01',
  open: 'M9.5 3H13v3.5M13 3 7.5 8.5M6.5 4H3.5v8.5H12v-3',
  pause: 'M5.5 3.500v9M10.5 3.500v9',
  pin: 'M4.5 2.500h7v11L8 10.6 4.5 13.500z',
  play: 'M5 3.200v9.600l7.5-4.800z',
  plug: 'M6 2.5V5M10 2.5V5M4 5h8v2.2a4 4 0 0 1-8 0zM8 11.2v2.3',
  power: 'M8 2.500v5M4.7 4.600a4.7 4.7 0 1 0 6.6 0',
  reload: 'M12.8 6.4A5 5 0 1 0 13 9M13 3v3.5H9.6',
  search: 'M7 2.8a4.2 4.2 0 1 1 0 8.4 4.2 4.2 0 0 1 0-8.4M10.2 10.2l3.3 3.3',
  send: 'M8 13V3.4M4 7.2 8 3.2l4 4',
  side: 'M2.5 3.5h11v9h-11zM6.3 3.5v9',
  sliders:
    'M3 4.5h5M11.5 4.5H13M3 11.5h1.500M8 11.5h5M9.750 2.800a1.7 1.7 0 1 1 0 3.400a1.7 1.7 0 0 1 0-3.400M6.250 9.800a1.7 1.7 0 1 1 0 3.400a1.7 1.7 0 0 1 0-3.400',
  splitDown: 'M2.5 3h11v10h-11zM2.5 8h11',
  splitRight: 'M2.5 3h11v10h-11zM8 3v10',
  steer: 'M4 13V9.5a2.5 2.5 0 0 1 2.5-2.5H12M9 4l3 3-3 3',
  stop: 'M4 4h8v8H4z',
  sun: 'M8 5.3a2.7 2.7 0 1 1 0 5.4 2.7 2.7 0 0 1 0-5.4M8 2v.8M8 13.2v.8M2 8h.8M13.2 8h.8M3.8 3.8l.5.5M11.7 11.7l.5.5M12.2 3.8l-.5.5M4.3 11.7l-.5.5',
  terminal: 'M2.5 3.5h11v9h-11zM5 6.3 6.8 8 5 9.7M8.5 9.9h2.6',
  think: 'M8 2.8a3.8 3.8 0 0 1 2.2 6.9V11.2H5.8V9.7A3.8 3.8 0 0 1 8 2.8M6.4 13.4h3.2',
  trash: 'M3 4.5h10M6.3 4.5V3h3.4v1.5M4.3 4.5l.6 8.5h6.2l.6-8.5',
  undo: 'M3 6.500h6.500a3.5 3.5 0 0 1 0 7H6M3 6.500l3-3M3 6.500l3 3',
  user: 'M8 3a2.4 2.4 0 1 1 0 4.8A2.4 2.4 0 0 1 8 3M3.4 13.2a4.7 4.7 0 0 1 9.2 0',
  warn: 'M8 2.8 14 13H2zM8 6.6v3M8 11.3h.01',
} as const

export type IconName = keyof typeof PATHS

/** One icon; takes the colour of its text. */
export function Icon({ name, ...rest }: { name: IconName } & SVGProps<SVGSVGElement>) {
  return (
    <svg
      viewBox="0 0 16 16"
      width={16}
      height={16}
      fill="none"
      stroke="currentColor"
      strokeWidth={name === 'more' ? 2 : 1.35}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
      {...rest}
      className={`shrink-0 ${rest.className ?? ''}`}
    >
      <path d={PATHS[name]} />
    </svg>
  )
}
