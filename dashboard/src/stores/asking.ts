// The dialog of the open project that is asked for just now: from a panel, a menu, the palette.
import { create } from 'zustand'

/** A user message: the checkpoint before it is meant. */
export interface AskedMessage {
  sessionId: string
  entryId: string
  text: string
}

export type Asked =
  /** Go back to a checkpoint; with a message, the conversation stands before it. */
  | { kind: 'restore'; checkpointId: string; message?: AskedMessage }
  /** Copy the project: from now, from a checkpoint, from before a message. */
  | { kind: 'fork'; checkpointId?: string; message?: AskedMessage }
  /** Give an entry of a conversation a name. */
  | { kind: 'label'; message: AskedMessage; label?: string }
  /** All branches of a conversation. */
  | { kind: 'tree'; sessionId: string }

interface AskingState {
  asked: Asked | null
  ask: (asked: Asked) => void
  done: () => void
}

export const useAsking = create<AskingState>((set) => ({
  asked: null,
  ask: (asked) => set({ asked }),
  done: () => set({ asked: null }),
}))
