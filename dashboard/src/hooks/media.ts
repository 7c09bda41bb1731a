// The window's width as a yes or no.
import { useSyncExternalStore } from 'react'

/** Below this the page shows one panel at a time. The same number as Tailwind's `md`. */
const NARROW = '(max-width: 767px)'

function subscribe(listener: () => void): () => void {
  const query = matchMedia(NARROW)
  query.addEventListener('change', listener)
  return () => query.removeEventListener('change', listener)
}

export function useNarrow(): boolean {
  return useSyncExternalStore(subscribe, () => matchMedia(NARROW).matches)
}
