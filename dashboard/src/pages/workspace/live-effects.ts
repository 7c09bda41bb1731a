// What events do to the rest of the page: cached data, toasts, the tab's title.
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useCallback, useEffect } from 'react'
import type { Service, SessionList } from '@/api/bridge-types'
import type { BridgeEvent } from '@/api/events'
import type { AgentStatus, Project } from '@/api/types'
import { needsYou } from '@/components/project-state'
import { toast } from '@/ui/toasts'
import { useEvents, useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'

/** What is another when the project went back. */
const EVERYTHING = [
  'checkpoints',
  'content',
  'diff',
  'disk',
  'files',
  'inspect',
  'machine',
  'processes',
  'services',
  'sessions',
  'receipts',
  'runs',
  'state',
  'terminals',
] as const

/** Tools that may have changed files. */
const WRITERS = new Set(['write', 'edit', 'apply_patch', 'bash', 'task'])

/** Tools that begin or end programs in the background. */
const PROCESSES = new Set(['bash', 'process', 'task'])

export function useLiveEffects(project: Project): void {
  const { live, id } = useProject()
  const client = useQueryClient()
  const { data: sessions } = useQuery(queries.sessions(id))
  const waiting = sessions?.sessions.filter(needsYou).length ?? 0

  useEffect(() => {
    document.title = `${waiting > 0 ? `(${waiting}) ` : ''}${project.name} · Toft`
  }, [project.name, waiting])

  const status = useCallback(
    (session: string | null, next: AgentStatus) => {
      client.setQueryData<SessionList>(queries.sessions(id).queryKey, (list) =>
        list
          ? {
              ...list,
              sessions: list.sessions.map((each) =>
                each.id === session ? { ...each, status: next } : each,
              ),
            }
          : list,
      )
    },
    [client, id],
  )

  useEvents(live, (event: BridgeEvent) => {
    if (event.seq <= live.newsAfter) return
    const stale = (queryKey: readonly unknown[]) => void client.invalidateQueries({ queryKey })
    switch (event.kind) {
      case 'inspect': {
        const { integrations, services, assets } = event.data
        client.setQueryData(queries.inspect(id).queryKey, { integrations, services, assets })
        stale(queries.services(id).queryKey)
        return
      }
      case 'message_end':
        // A prompt began: a checkpoint was taken before it.
        if (event.data.message.role === 'user') stale(queries.checkpoints(id).queryKey)
        return
      case 'restored':
        for (const key of EVERYTHING) stale([key, id])
        return
      case 'service': {
        const { id: service, name, state, exitCode, restarts } = event.data
        client.setQueryData<Service[]>(queries.services(id).queryKey, (list) =>
          list?.map((each) =>
            each.id === service
              ? {
                  ...each,
                  process: {
                    pid: state === 'running' ? (each.process?.pid ?? null) : null,
                    state,
                    exitCode,
                    restarts,
                    since: event.at,
                  },
                }
              : each,
          ),
        )
        stale(queries.services(id).queryKey)
        if (state === 'failed') {
          const code = exitCode === null ? '' : ` It ended with exit code ${exitCode}.`
          toast.error(`The service ${name} failed`, `It is not started again.${code}`)
        }
        return
      }
      case 'schedule': {
        const { scheduleId, name, outcome, reason } = event.data
        stale(queries.schedules(id).queryKey)
        stale(queries.firings(id, scheduleId).queryKey)
        if (outcome === 'failed') toast.error(`${name} failed`, reason ?? undefined)
        return
      }
      case 'limit':
        stale(queries.machine(id).queryKey)
        stale(queries.disk(id).queryKey)
        return
      case 'agent_start':
        status(event.session, 'working')
        stale(queries.sessions(id).queryKey)
        return
      case 'auto_retry_start':
        if (event.data.asks) {
          status(event.session, 'waiting')
          stale(['budget'])
        }
        return
      case 'auto_retry_end':
        stale(queries.sessions(id).queryKey)
        return
      case 'question':
        status(event.session, 'waiting')
        // Asked anew: an answer that is on its way may be older than the question.
        stale(queries.sessions(id).queryKey)
        return
      case 'plan_ready':
      case 'plan_settled':
        stale(queries.sessions(id).queryKey)
        stale(queries.projects.queryKey)
        return
      case 'answered':
        status(event.session, 'working')
        stale(queries.sessions(id).queryKey)
        return
      case 'agent_end':
        stale(queries.sessions(id).queryKey)
        stale(queries.projects.queryKey)
        stale(queries.processes(id).queryKey)
        stale(queries.checkpoints(id).queryKey)
        stale(queries.disk(id).queryKey)
        stale(['receipts', id])
        stale(['usage'])
        stale(['budget'])
        return
      case 'tool_end':
        if (WRITERS.has(event.data.toolName)) {
          stale(['files', id])
          stale(['content', id])
        }
        if (PROCESSES.has(event.data.toolName)) stale(queries.processes(id).queryKey)
        if (event.data.toolName === 'ask') stale(queries.sessions(id).queryKey)
        if (event.data.toolName === 'ask_secrets') {
          stale(queries.sessions(id).queryKey)
          stale(queries.secrets(id).queryKey)
        }
        return
      case 'app_port':
        stale(queries.state(id).queryKey)
        return
      case 'session_created':
      case 'session_switched':
      case 'session_info_changed':
        stale(queries.sessions(id).queryKey)
        return
      case 'terminal_opened':
      case 'terminal_closed':
        stale(queries.terminals(id).queryKey)
        return
      case 'bridge_started':
        stale(queries.machine(id).queryKey)
        stale(queries.state(id).queryKey)
        stale(['receipts', id])
        return
      case 'receipt':
        stale(['receipts', id])
        return
      case 'run_step':
        stale(['runs', id])
        // It may have a conversation and a checkpoint of its own, that nobody has seen yet.
        stale(queries.sessions(id).queryKey)
        stale(queries.checkpoints(id).queryKey)
        return
      case 'mcp_server':
        stale(queries.mcp(id).queryKey)
        stale(queries.mcpConnections(id).queryKey)
        return
      case 'extension_error':
        stale(queries.extensions(id).queryKey)
        return
      case 'notify':
        notify(event.data.message, event.data.level)
        return
      case 'error':
        if (event.data.code === 'secret_echoed') {
          toast.warning('A host said a secret back', event.data.message)
        } else if (event.data.code === 'mcp_sign_in_ended') {
          toast.warning('A sign-in has ended', event.data.message)
          stale(queries.mcpConnections(id).queryKey)
        }
        return
      default:
    }
  })
}

function notify(message: string, level: string): void {
  switch (level) {
    case 'success':
      toast.success(message)
      return
    case 'warning':
      toast.warning(message)
      return
    case 'error':
      toast.error(message)
      return
    default:
      toast.info(message)
  }
}
