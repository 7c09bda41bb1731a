// Whether the palette is open, and on which page of it.
import { create } from 'zustand'

interface PaletteState {
  open: boolean
  /** A command that asks before it runs. */
  asking: string | null
  show: () => void
  hide: () => void
  toggle: () => void
  ask: (id: string | null) => void
}

export const usePalette = create<PaletteState>((set, get) => ({
  open: false,
  asking: null,
  show: () => set({ open: true, asking: null }),
  hide: () => set({ open: false, asking: null }),
  toggle: () => set({ open: !get().open, asking: null }),
  ask: (asking) => set({ open: true, asking }),
}))
