// What is done with a conversation as a whole.
import { useMemo } from 'react'
import { wordsOf } from '@/api/http'
import { useProject } from '@/hooks/live'
import { useAsking } from '@/stores/asking'
import { toast } from '@/ui/toasts'

export interface ConversationActions {
  compact: () => void
  branches: () => void
  exportPage: () => void
}

export function useConversationActions(sessionId: string | null): ConversationActions {
  const { live } = useProject()
  const ask = useAsking((state) => state.ask)
  return useMemo(() => {
    const { bridge } = live
    const of = (act: (id: string) => void) => () => {
      if (sessionId) act(sessionId)
    }
    return {
      compact: of((id) => {
        bridge
          .compact(id)
          .catch((error: unknown) => toast.error('It was not compacted', wordsOf(error)))
      }),
      branches: of((id) => ask({ kind: 'tree', sessionId: id })),
      exportPage: of((id) => {
        const link = document.createElement('a')
        link.href = bridge.exportUrl(id)
        // Its name comes with the answer.
        link.download = ''
        link.click()
      }),
    }
  }, [ask, live, sessionId])
}
