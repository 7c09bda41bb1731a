// Text is AAA, quiet text and glyphs AA, in both themes: computed from the tokens themselves.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'

const css = readFileSync(new URL('./tokens.css', import.meta.url), 'utf8')

type Colour = readonly [l: number, c: number, h: number]

function tokens(theme: 'light' | 'dark'): Map<string, Colour> {
  const colour = /oklch\(([\d.]+) ([\d.]+) ([\d.]+)\)/
  const found = new Map<string, Colour>()
  for (const [, name = '', light = '', dark = ''] of css.matchAll(
    /--([\w-]+): light-dark\((oklch\([^)]*\)), (oklch\([^)]*\))\);/g,
  )) {
    const parts = colour.exec(theme === 'light' ? light : dark)
    if (parts) found.set(name, [Number(parts[1]), Number(parts[2]), Number(parts[3])])
  }
  return found
}

/** Relative luminance by WCAG, from OKLCH through linear sRGB. */
function luminance([l, c, h]: Colour): number {
  const a = c * Math.cos((h * Math.PI) / 180)
  const b = c * Math.sin((h * Math.PI) / 180)
  const L = (l + 0.3963377774 * a + 0.2158037573 * b) ** 3
  const M = (l - 0.1055613458 * a - 0.0638541728 * b) ** 3
  const S = (l - 0.0894841775 * a - 1.291485548 * b) ** 3
  const clamp = (value: number) => Math.min(1, Math.max(0, value))
  const red = clamp(4.0767416621 * L - 3.3077115913 * M + 0.2309699292 * S)
  const green = clamp(-1.2684380046 * L + 2.6097574011 * M - 0.3413193965 * S)
  const blue = clamp(-0.0041960863 * L - 0.7034186147 * M + 1.707614701 * S)
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}

const GROUNDS = ['ground', 'surface', 'raised', 'sunk']
const PAIRS: [text: string, grounds: string[], ratio: number][] = [
  ['ink', [...GROUNDS, 'add-soft', 'remove-soft'], 7],
  ['ink-2', GROUNDS, 7],
  ['ink-3', GROUNDS, 4.5],
  ['moss-text', [...GROUNDS, 'moss-soft'], 7],
  ['red-text', [...GROUNDS, 'red-soft'], 7],
  ['amber-text', [...GROUNDS, 'amber-soft'], 7],
  ['blue', ['surface', 'raised', 'ground'], 7],
  ['moss-ink', ['moss', 'moss-strong'], 4.5],
  ['red-ink', ['red'], 4.5],
]

describe.each(['light', 'dark'] as const)('%s', (theme) => {
  const found = tokens(theme)
  for (const [text, grounds, ratio] of PAIRS) {
    test.each(grounds)(`${text} reads on %s`, (ground) => {
      const [a, b] = [found.get(text), found.get(ground)]
      if (!a || !b) throw new Error(`no token ${text} or ${ground}`)
      const [bright = 0, dim = 0] = [luminance(a), luminance(b)].toSorted((x, y) => y - x)
      expect((bright + 0.05) / (dim + 0.05)).toBeGreaterThanOrEqual(ratio)
    })
  }
})
