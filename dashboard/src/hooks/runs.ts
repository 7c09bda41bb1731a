// What a person does to runs, and what one does while it is looked at.
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useEffect, useRef, useState } from 'react'
import { wordsOf } from '@/api/http'
import type { Connection } from '@/api/live/line'
import { follow, NO_COURSE, type Course } from '@/api/runs/course'
import { runsOf, type RunAsk } from '@/api/runs/routes'
import { RunStream } from '@/api/runs/stream'
import type { Run } from '@/api/runs/types'
import { draftKey } from '@/stores/drafts'
import { forgetName, nameOf } from '@/stores/sending'
import { toast } from '@/ui/toasts'
import { queries } from './queries'

/** What is kept of a run that was not asked for yet, in place of a conversation's id. */
export const RUN_DRAFT = 'run'

export function useRunActions(id: string) {
  const client = useQueryClient()
  const news = () => {
    void client.invalidateQueries({ queryKey: queries.runs(id).queryKey })
    void client.invalidateQueries({ queryKey: queries.comparisons(id).queryKey })
  }
  const draft = draftKey(id, RUN_DRAFT)
  const ask = useMutation({
    // Whoever asks again, because no answer came, asks for the same run.
    mutationFn: (wish: RunAsk) =>
      runsOf(id).ask(wish, nameOf(draft, JSON.stringify(wish), RUN_DRAFT)),
    onSuccess: () => {
      forgetName(draft)
      news()
    },
  })
  const cancel = useMutation({
    mutationFn: (run: Run) => runsOf(id).cancel(run.id),
    onSuccess: ({ cancelled }, { runIndex }) => {
      if (cancelled) toast.success(`Run ${runIndex} is cancelled`, 'What it changed stays.')
      else
        toast.info(
          `Run ${runIndex} was not cancelled`,
          'It is over, or a later one waits behind it: cancel that first.',
        )
      news()
    },
    onError: (error, { runIndex }) =>
      toast.error(`Run ${runIndex} was not cancelled`, wordsOf(error)),
  })
  return { ask, cancel }
}

/** The course of a run, followed as long as it is on screen and not over. */
export function useCourse(
  id: string,
  run: string,
  on: boolean,
): { course: Course; connection: Connection } {
  const client = useQueryClient()
  const [course, setCourse] = useState(NO_COURSE)
  const [connection, setConnection] = useState<Connection>('connecting')
  // Who comes back to it goes on where they were.
  const seen = useRef(NO_COURSE)
  useEffect(() => {
    if (!on || seen.current.isOver) return
    const show = (next: Course) => {
      seen.current = next
      setCourse(next)
    }
    const stream = new RunStream({
      url: runsOf(id).streamUrl(run),
      after: seen.current.seq,
      onEvents: (events) => {
        show(follow(seen.current, events))
        if (events.some(({ kind }) => kind === 'status' || kind === 'done' || kind === 'error')) {
          void client.invalidateQueries({ queryKey: queries.runs(id).queryKey })
        }
      },
      onConnection: setConnection,
      onAnew: () => show(NO_COURSE),
    })
    return () => stream.close()
  }, [client, id, run, on])
  return { course, connection }
}
