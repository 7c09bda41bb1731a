// A conversation is a tree: going to another place of it, and copying a branch. Files stay as they are.
import { useQueryClient } from '@tanstack/react-query'
import { useMemo } from 'react'
import { wordsOf } from '@/api/http'
import { useOpenPanel } from '@/hooks/dock'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { addToDraft, draftKey } from '@/stores/drafts'
import { toast } from '@/ui/toasts'

export function useTreeActions(sessionId: string) {
  const { id, live } = useProject()
  const client = useQueryClient()
  const open = useOpenPanel()
  return useMemo(
    () => ({
      /** Before a message of the person, whose words stand in the composer then; else behind an entry. */
      goBack: async (entryId: string, summarize = false): Promise<boolean> => {
        try {
          const { text } = await live.bridge.navigate(sessionId, entryId, summarize)
          if (text) addToDraft(draftKey(id, sessionId), text)
          toast.success(
            'The conversation stands there now',
            summarize
              ? 'Files are as they were. What you left is summed up for the model, and kept under All branches.'
              : 'Files are as they were. What you left is kept under All branches.',
          )
          return true
        } catch (error) {
          toast.error('The conversation stays where it is', wordsOf(error))
          return false
        }
      },
      copyUpTo: async (entryId: string): Promise<void> => {
        try {
          const made = await live.bridge.forkSession(sessionId, entryId)
          if (made.text) addToDraft(draftKey(id, made.sessionId), made.text)
          void client.invalidateQueries({ queryKey: queries.sessions(id).queryKey })
          open({ kind: 'chat', sessionId: made.sessionId })
        } catch (error) {
          toast.error('The conversation was not copied', wordsOf(error))
        }
      },
    }),
    [client, id, live, open, sessionId],
  )
}
