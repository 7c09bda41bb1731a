// The bridge's routes of one project, through the server.
import type {
  AgentState,
  Extension,
  FileInfo,
  Inspect,
  LogPage,
  Mode,
  Plan,
  MessageList,
  ProcessInfo,
  PromptLimits,
  Rule,
  Service,
  SessionList,
  SkillList,
  TerminalInfo,
  TreePage,
} from './bridge-types'
import { call, text } from './http'

/** Text files are read up to here; the rest is a download. */
const TEXT_BYTES_MAX = 1024 * 1024

/** A summary is an answer of the model. */
const SUMMARY_TIMEOUT_MS = 300_000

const seg = encodeURIComponent

export interface ConfigChange {
  provider?: string
  modelId?: string
  thinkingLevel?: string
  appPort?: number
  sessionName?: string
  sessionId?: string
  /** Of the project: replaced whole. */
  rules?: Rule[]
  limits?: PromptLimits
  autoCheck?: boolean
  /** Empty: found in the project. */
  checkCommand?: string
}

/** Calls for one project. */
export function bridge(project: string) {
  const base = `/v1/projects/${seg(project)}/toft`
  const of = (sessionId?: string) => (sessionId ? `?sessionId=${seg(sessionId)}` : '')
  return {
    /** Without a number only what comes from now on. */
    eventsUrl: (after: number | null) =>
      after === null ? `${base}/events` : `${base}/events?after=${after}`,
    state: (sessionId?: string) => call<AgentState>('GET', `${base}/state${of(sessionId)}`),
    messages: (sessionId?: string) => call<MessageList>('GET', `${base}/messages${of(sessionId)}`),
    inspect: () => call<Inspect>('GET', `${base}/inspect`),
    config: (change: ConfigChange) => call<AgentState>('POST', `${base}/config`, change),

    /** While the agent works it waits in the queue. Said once under its key, however often it is sent. */
    prompt: (message: string, sessionId: string, key: string) =>
      call<{ sessionId: string; queued: null | 'steer' | 'followUp' }>(
        'POST',
        `${base}/prompt`,
        { message, sessionId },
        { key },
      ),
    steer: (message: string, sessionId: string, key: string) =>
      call<object>('POST', `${base}/steer`, { message, sessionId }, { key }),
    abort: (sessionId: string, clearQueue: boolean) =>
      call<{ steering: string[]; followUp: string[] }>('POST', `${base}/abort`, {
        sessionId,
        clearQueue,
      }),
    /** Asks again in place of an answer that failed or was stopped. */
    retry: (sessionId: string) => call<object>('POST', `${base}/retry`, { sessionId }),
    queue: (sessionId: string, steering: string[], followUp: string[]) =>
      call<object>('POST', `${base}/queue`, { sessionId, steering, followUp }),
    answer: (sessionId: string, toolCallId: string, answer: string) =>
      call<object>('POST', `${base}/answer`, { sessionId, toolCallId, answer }),

    sessions: () => call<SessionList>('GET', `${base}/sessions`),
    newSession: () => call<{ sessionId: string }>('POST', `${base}/sessions/new`, {}),
    compact: (sessionId: string) =>
      call<object>(
        'POST',
        `${base}/sessions/compact`,
        { sessionId },
        { timeoutMs: SUMMARY_TIMEOUT_MS },
      ),

    /** Conversations of tasks too. */
    tasks: () => call<SessionList>('GET', `${base}/sessions?tasks=true`),
    mode: (sessionId: string, mode: Mode) =>
      call<object>('POST', `${base}/sessions/${seg(sessionId)}/mode`, { mode }),
    /** With a plan: as a person changed it. */
    approvePlan: (sessionId: string, planId: string, plan: Plan | null) =>
      call<object>('POST', `${base}/sessions/${seg(sessionId)}/plan`, {
        action: 'approve',
        planId,
        ...(plan ? { plan } : {}),
      }),
    rejectPlan: (sessionId: string, planId: string, reason: string) =>
      call<object>('POST', `${base}/sessions/${seg(sessionId)}/plan`, {
        action: 'reject',
        planId,
        ...(reason ? { reason } : {}),
      }),
    tree: (sessionId: string, after: string | null) =>
      call<TreePage>(
        'GET',
        `${base}/sessions/${seg(sessionId)}/tree${after === null ? '' : `?after=${seg(after)}`}`,
      ),
    /** `text`: what was said there, to be said anew. With `summarize` the model first writes down what is
     * left behind, which takes as long as it takes. */
    navigate: (sessionId: string, entryId: string, summarize: boolean) =>
      call<{ entryId: string | null; text: string | null }>(
        'POST',
        `${base}/sessions/${seg(sessionId)}/navigate`,
        { entryId, ...(summarize ? { summarize } : {}) },
        summarize ? { timeoutMs: SUMMARY_TIMEOUT_MS } : {},
      ),
    forkSession: (sessionId: string, entryId: string) =>
      call<{ sessionId: string; text: string | null }>(
        'POST',
        `${base}/sessions/${seg(sessionId)}/fork`,
        { entryId },
      ),
    label: (sessionId: string, entryId: string, label: string | null) =>
      call<object>('POST', `${base}/sessions/${seg(sessionId)}/label`, { entryId, label }),
    exportUrl: (sessionId: string) => `${base}/sessions/${seg(sessionId)}/export.html`,

    /** Only a running machine says these two. */
    skills: () => call<SkillList>('GET', `${base}/skills`),
    extensions: () =>
      call<{ extensions: Extension[] }>('GET', `${base}/extensions`).then((d) => d.extensions),

    terminals: () =>
      call<{ terminals: TerminalInfo[] }>('GET', `${base}/terminals`).then((d) => d.terminals),
    openTerminal: (cols: number, rows: number) =>
      call<{ id: string }>('POST', `${base}/terminals`, { cols, rows }),
    closeTerminal: (id: string) => call<object>('DELETE', `${base}/terminals/${seg(id)}`),
    terminalUrl: (id: string) =>
      `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}${base}/terminals/${seg(id)}`,

    processes: () =>
      call<{ processes: ProcessInfo[] }>('GET', `${base}/processes`).then((d) => d.processes),
    processOutputUrl: (id: string, from: number) =>
      `${base}/processes/${seg(id)}/output?from=${from}`,
    endProcess: (id: string) => call<object>('DELETE', `${base}/processes/${seg(id)}`),

    services: () =>
      call<Service[] | { services: Service[] }>('GET', `${base}/services`).then((list) =>
        Array.isArray(list) ? list : list.services,
      ),
    service: (id: string, verb: 'start' | 'stop' | 'restart') =>
      call<object>('POST', `${base}/services/${seg(id)}/${verb}`, {}),
    /** What it printed from a position on; the last part without one. */
    serviceLog: (id: string, from: number | null) =>
      call<LogPage>(
        'GET',
        `${base}/services/${seg(id)}/log${from === null ? '' : `?from=${from}`}`,
      ),

    files: (path: string | null) =>
      call<FileInfo>('GET', `${base}/files${path === null ? '' : `?path=${seg(path)}`}`),
    contentUrl: (path: string) => `${base}/files/content?path=${seg(path)}`,
    content: (path: string) => text(`${base}/files/content?path=${seg(path)}`, TEXT_BYTES_MAX),
    putFile: (path: string, body: Blob) =>
      call<{ path: string; size: number }>('PUT', `${base}/files/content?path=${seg(path)}`, body),
    deleteFile: (path: string) => call<object>('DELETE', `${base}/files?path=${seg(path)}`),
  }
}

export type Bridge = ReturnType<typeof bridge>
