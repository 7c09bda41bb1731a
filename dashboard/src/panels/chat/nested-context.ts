// How a row shows a conversation inside the one that it is part of. The view hands itself down: it draws the
// rows, so they do not know it.
import { createContext, type ReactNode } from 'react'
import type { Transcript } from '@/api/transcript/types'

export interface TranscriptViewProps {
  transcript: Transcript
  working: boolean
  visible: boolean
  /** Goes up when the person sends something: back to the end. */
  pinned: number
  label?: string
  /** Inside another one: as high as what it shows, up to this. */
  heightMax?: number
  /** Null: nothing here is asked again or changed. */
  onRetry: (() => void) | null
}

export const NestedContext = createContext<(props: TranscriptViewProps) => ReactNode>(() => null)
