// Puts words for the agent into the composer of the current conversation. Never sends them: that is
// the person's to do.
import { useQuery } from '@tanstack/react-query'
import { addToDraft, draftKey } from '@/stores/drafts'
import { useOpenPanel } from './dock'
import { useProject } from './live'
import { queries } from './queries'

export function useAskAgent(): (words: string) => void {
  const { id } = useProject()
  const open = useOpenPanel()
  const { data: sessions } = useQuery(queries.sessions(id))
  const current = sessions?.current ?? undefined
  return (words) => {
    addToDraft(draftKey(id, current ?? null), words)
    open({ kind: 'chat', ...(current ? { sessionId: current } : {}) })
  }
}
