// The page's tokens as the plain colours that xterm wants. The sixteen terminal colours are tuned to
// our grounds: muted, but told apart.
import type { ITheme } from '@xterm/xterm'

const LIGHT = {
  black: '#2b2a27',
  red: '#a3382c',
  green: '#4a6b38',
  yellow: '#86600f',
  blue: '#2f5c96',
  magenta: '#80447f',
  cyan: '#24686c',
  white: '#77756f',
  brightBlack: '#5d5b56',
  brightRed: '#bf4a3c',
  brightGreen: '#567d41',
  brightYellow: '#9a7116',
  brightBlue: '#3b6fb3',
  brightMagenta: '#985597',
  brightCyan: '#2f7c80',
  brightWhite: '#3a3935',
}
const DARK = {
  black: '#3a3936',
  red: '#e08a7d',
  green: '#9dbd8b',
  yellow: '#d9b36b',
  blue: '#8db3e2',
  magenta: '#cb9bc9',
  cyan: '#86c0c3',
  white: '#d6d4ce',
  brightBlack: '#85837c',
  brightRed: '#eda399',
  brightGreen: '#b3d0a2',
  brightYellow: '#e8c888',
  brightBlue: '#a9c7ec',
  brightMagenta: '#dcb4da',
  brightCyan: '#a1d2d4',
  brightWhite: '#f2f1ed',
}

/** A token in `#rrggbb`. */
function token(name: string): string {
  const probe = document.createElement('span')
  probe.style.color = `var(${name})`
  document.body.append(probe)
  const colour = getComputedStyle(probe).color
  probe.remove()
  const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true })
  if (!context) return '#808080'
  context.fillStyle = colour
  context.fillRect(0, 0, 1, 1)
  const [r = 0, g = 0, b = 0] = context.getImageData(0, 0, 1, 1).data
  return `#${[r, g, b].map((part) => part.toString(16).padStart(2, '0')).join('')}`
}

export function terminalColours(): ITheme {
  const chosen = document.documentElement.dataset.theme
  const dark = chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches
  const moss = token('--moss')
  return {
    ...(dark ? DARK : LIGHT),
    background: token('--sunk'),
    foreground: token('--ink'),
    cursor: moss,
    cursorAccent: token('--sunk'),
    selectionBackground: `${moss}55`,
  }
}
