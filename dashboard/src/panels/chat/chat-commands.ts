// What can be done with the conversation on screen, by name.
import { useMemo } from 'react'
import type { Transcript } from '@/api/transcript/types'
import { useCommands } from '@/hooks/commands'
import type { Command } from '@/stores/commands'
import type { ChatActions } from './chat-actions'

const NONE: readonly Command[] = []

/** Of chats side by side, those of the one that came last to the screen. */
export function useChatCommands({
  transcript,
  visible,
  closed,
  actions,
  compact,
  branches,
  exportPage,
}: {
  transcript: Transcript | null
  visible: boolean
  closed: boolean
  actions: ChatActions
  compact: () => void
  branches: () => void
  exportPage: () => void
}): void {
  const written = (transcript?.rows.length ?? 0) > 0
  const mode = transcript?.mode
  const { setMode } = actions
  const commands = useMemo<readonly Command[]>(() => {
    if (!visible || mode === undefined) return NONE
    const stopped = closed ? 'the machine is stopped' : undefined
    const empty = stopped ?? (written ? undefined : 'nothing was said yet')
    return [
      {
        id: 'chat.mode',
        title: mode === 'plan' ? 'Switch to build mode' : 'Switch to plan mode',
        group: 'Chat',
        icon: mode === 'plan' ? 'edit' : 'list',
        words: 'plan build read-only propose approve',
        disabled: stopped,
        run: () => void setMode(mode === 'plan' ? 'build' : 'plan'),
      },
      {
        id: 'chat.compact',
        title: 'Compact the conversation',
        group: 'Chat',
        icon: 'log',
        words: 'context shorten summary tokens',
        disabled: empty,
        run: compact,
      },
      {
        id: 'chat.branches',
        title: 'All branches of the conversation',
        group: 'Chat',
        icon: 'fork',
        words: 'tree history back navigate',
        disabled: empty,
        run: branches,
      },
      {
        id: 'chat.export',
        title: 'Export the conversation as a page',
        group: 'Chat',
        icon: 'download',
        words: 'html save share',
        disabled: empty,
        run: exportPage,
      },
    ]
  }, [branches, closed, compact, exportPage, mode, setMode, visible, written])
  useCommands(commands)
}
