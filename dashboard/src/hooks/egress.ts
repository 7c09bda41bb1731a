// What the machine of the open project may reach, and the log of what it tried, followed while somebody
// looks. Neither is any use of the machine.
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { wordsOf } from '@/api/http'
import { machineOf } from '@/api/machine'
import type { EgressAnswer, EgressChange, EgressLine, OpenConnection } from '@/api/machine-types'
import { toast } from '@/ui/toasts'
import { plural } from '@/util/format'
import { useProject } from './live'
import { queries } from './queries'

/** Lines kept for display. */
const LINES_MAX = 2000
/** How long one question for news may stay open. */
const WAIT_MS = 20_000
/** After a question that failed. */
const AGAIN_MS = 2000

export function useEgress() {
  const { id } = useProject()
  return useQuery(queries.egress(id))
}

/** Changes it; says how many connections that cut. */
export function useSetEgress() {
  const { id } = useProject()
  const client = useQueryClient()
  const changed = (answer: EgressAnswer) => {
    client.setQueryData(queries.egress(id).queryKey, answer)
    void client.invalidateQueries({ queryKey: queries.machine(id).queryKey })
    if (answer.cut > 0) {
      toast.success(
        'It is in force',
        `${plural(answer.cut, 'open connection')} ${answer.cut === 1 ? 'was' : 'were'} no longer allowed and cut.`,
      )
    }
  }
  const set = useMutation({
    mutationFn: (change: EgressChange) => machineOf(id).setEgress(change),
    onSuccess: changed,
    onError: (error) => toast.error('It was not changed', wordsOf(error)),
  })
  const allow = useMutation({
    mutationFn: (rule: string) => machineOf(id).addEgressRule(rule),
    onSuccess: (answer, rule) => {
      changed(answer)
      toast.success(`${rule} is allowed now`)
    },
    onError: (error) => toast.error('It was not allowed', wordsOf(error)),
  })
  return { set, allow }
}

interface Log {
  /** Newest first. */
  lines: EgressLine[]
  open: OpenConnection[]
  /** Whether there may be older ones. */
  more: boolean
}

/** Follows the log while somebody looks. */
export function useEgressLog(visible: boolean) {
  const { id } = useProject()
  const [log, setLog] = useState<Log | null>(null)
  const [error, setError] = useState<string | null>(null)
  const [loadingOlder, setLoadingOlder] = useState(false)

  useEffect(() => {
    if (!visible) return
    let gone = false
    let timer: ReturnType<typeof setTimeout> | undefined
    const machine = machineOf(id)
    const follow = async (end: number | null) => {
      try {
        if (end === null) {
          const page = await machine.egressLog()
          if (gone) return
          setLog({ lines: page.lines, open: page.open, more: page.lines.length >= 100 })
          setError(null)
          void follow(page.end)
          return
        }
        const page = await machine.egressNews(end, WAIT_MS)
        if (gone) return
        setLog((before) => ({
          lines: [...page.lines, ...(before?.lines ?? [])].slice(0, LINES_MAX),
          open: page.open,
          more: before?.more ?? false,
        }))
        setError(null)
        void follow(page.end)
      } catch (cause) {
        if (gone) return
        setError(wordsOf(cause))
        timer = setTimeout(() => void follow(null), AGAIN_MS)
      }
    }
    void follow(null)
    return () => {
      gone = true
      clearTimeout(timer)
    }
  }, [id, visible])

  const older = async () => {
    const oldest = log?.lines.at(-1)
    if (!oldest) return
    setLoadingOlder(true)
    try {
      const page = await machineOf(id).egressLog(oldest.seq)
      setLog(
        (before) =>
          before && {
            ...before,
            lines: [...before.lines, ...page.lines],
            more: page.lines.length >= 100,
          },
      )
    } catch (cause) {
      toast.error('Older lines could not be read', wordsOf(cause))
    } finally {
      setLoadingOlder(false)
    }
  }
  return { log, error, older, loadingOlder }
}
