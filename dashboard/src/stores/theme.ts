// Light, dark or what the system says. Kept in this browser; the server's setting is the default for
// a new one.
import { create } from 'zustand'
import { load, save } from '@/util/storage'

export type Theme = 'system' | 'light' | 'dark'

const KEY = 'toft.theme'

interface ThemeState {
  theme: Theme
  setTheme: (theme: Theme) => void
}

function show(theme: Theme): void {
  if (theme === 'system') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = theme
}

export const useTheme = create<ThemeState>((set) => {
  const theme = load<Theme>(KEY, 1) ?? 'system'
  show(theme)
  return {
    theme,
    setTheme: (next) => {
      save(KEY, 1, next)
      show(next)
      set({ theme: next })
    },
  }
})

/** Takes over the person's theme from the server where this browser has none. */
export function adoptTheme(theme: string | null): void {
  if (load<Theme>(KEY, 1) !== null) return
  if (theme === 'light' || theme === 'dark') {
    show(theme)
    useTheme.setState({ theme })
  }
}
