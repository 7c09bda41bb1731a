// Events as lines that a person reads. Deltas and their like are no lines.
import type { BridgeEvent } from '@/api/events'
import type { Outcome } from '@/api/machine-types'
import { extensionWords } from '@/api/transcript/reduce'
import { textOf } from '@/api/transcript/rows'
import { stepWords } from '@/components/run-words'
import { absolute, duration, plural } from '@/util/format'

export interface LogLine {
  seq: number
  /** Unix ms; null for what was there before this page and has no time of its own. */
  at: number | null
  kind: string
  text: string
  tone: 'plain' | 'good' | 'bad' | 'ask'
}

/** What became of a slot, after the schedule's name. */
const OUTCOMES: Record<Outcome, string> = {
  running: 'runs',
  fired: 'ran',
  late: 'ran late',
  skipped: 'was skipped',
  suppressed: 'was left out',
  failed: 'failed',
}

const TEXT_CHARS_MAX = 240

function short(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim()
  return line.length > TEXT_CHARS_MAX ? `${line.slice(0, TEXT_CHARS_MAX)}…` : line
}

/** The line of an event, or null when it is none. `news`: it came while this page watched. */
export function logLine(event: BridgeEvent, news: boolean): LogLine | null {
  const known = news || event.timed ? event.at : null
  const line = (text: string, tone: LogLine['tone'] = 'plain', at = known) => ({
    seq: event.seq,
    at,
    kind: event.kind,
    text: short(text),
    tone,
  })
  switch (event.kind) {
    case 'bridge_started':
      return line(`The bridge started, version ${event.data.version}`)
    case 'agent_start':
      return line('The agent took up work')
    case 'agent_end': {
      const { reason, tools, durationMs } = event.data
      const tail = `${plural(tools, 'tool')}, ${duration(durationMs)}`
      if (reason === 'limit') return line(`The agent reached a limit after ${tail}`, 'bad')
      if (reason === 'error') return line(`The agent failed after ${tail}`, 'bad')
      if (reason === 'aborted') return line(`The agent was stopped after ${tail}`)
      return line(`The agent is done: ${tail}`, 'good')
    }
    case 'message_end': {
      const { message } = event.data
      const at = 'timestamp' in message ? message.timestamp : null
      if (message.role === 'user') return line(`You: ${textOf(message.content)}`, 'plain', at)
      if (message.role !== 'assistant') return null
      if (message.stopReason === 'error') {
        return line(
          `The model call failed: ${message.errorMessage ?? 'no reason given'}`,
          'bad',
          at,
        )
      }
      const text = textOf(message.content)
      return text.trim() ? line(`Agent: ${text}`, 'plain', at) : null
    }
    case 'message_restarted':
      return line(`An answer broke off and is asked for again: ${event.data.reason}`, 'bad')
    case 'tool_start': {
      const { command, path } = event.data.input
      const what = typeof command === 'string' ? command : typeof path === 'string' ? path : ''
      return line(`${event.data.toolName} ${what}`)
    }
    case 'tool_end': {
      const { toolName, isError, durationMs } = event.data
      const words = `${toolName} ${isError ? 'failed' : 'done'}, ${duration(durationMs)}`
      return isError ? line(words, 'bad') : null
    }
    case 'queue_update': {
      const { steering, followUp } = event.data
      return line(`${plural(steering.length + followUp.length, 'message')} waiting`)
    }
    case 'session_created':
      return line('A session was made')
    case 'session_info_changed':
      return line(`The session is called ${event.data.name ?? 'nothing'}`)
    case 'model_change':
      return line(`The model is ${event.data.provider} / ${event.data.id}`)
    case 'mode_change':
      return line(event.data.mode === 'plan' ? 'The agent plans only' : 'The agent builds')
    case 'plan_ready':
      return line(`A plan of ${plural(event.data.todos.length, 'step')} waits for you`, 'ask')
    case 'plan_settled':
      return line(`The plan was ${event.data.state}`)
    case 'auto_check': {
      const { status, command } = event.data
      if (status === 'started') return line(`The check runs: ${command}`)
      if (status === 'passed') return line(`The check passed: ${command}`, 'good')
      return line(`The check fails: ${command}`, 'bad')
    }
    case 'compaction_end':
      return event.data.errorMessage
        ? line(`The conversation could not be shortened: ${event.data.errorMessage}`, 'bad')
        : line('The conversation was shortened')
    case 'auto_retry_start':
      return line(`The model call failed, trying again: ${event.data.errorMessage}`, 'bad')
    case 'notify': {
      const bad = event.data.level === 'error' || event.data.level === 'warning'
      return line(
        event.data.message,
        bad ? 'bad' : event.data.level === 'success' ? 'good' : 'plain',
      )
    }
    case 'question':
      return line(`The agent asks: ${event.data.question}`, 'ask')
    case 'app_port':
      return line(`The app listens on port ${event.data.port}`, 'good')
    case 'inspect':
      return line(
        `${plural(event.data.services.length, 'service')}, ${plural(event.data.integrations.length, 'integration')}, ${plural(event.data.assets.length, 'asset')}`,
      )
    case 'terminal_opened':
      return line(`A terminal was opened: ${event.data.label}`)
    case 'terminal_closed':
      return line('A terminal ended')
    case 'restored': {
      const { label, takenAt, sessions } = event.data
      const back = sessions.length > 0 ? `, ${plural(sessions.length, 'conversation')} with it` : ''
      const name = label ? `“${label}” of ` : ''
      return line(`The project went back to ${name}${absolute(takenAt)}${back}`)
    }
    case 'navigated':
      return line('The conversation went to another entry')
    case 'label_change': {
      const { label } = event.data
      return line(label ? `An entry was named “${label}”` : 'An entry lost its name')
    }
    case 'forked':
      return line(`This project was forked from ${event.data.from}`)
    case 'limit':
      return line(event.data.message, 'bad')
    case 'service': {
      const { name, state, exitCode, restarts } = event.data
      const code = exitCode === null ? '' : ` with exit code ${exitCode}`
      switch (state) {
        case 'running':
          return line(
            `Service ${name} runs${restarts > 0 ? `, started again ${plural(restarts, 'time')}` : ''}`,
            'good',
          )
        case 'backoff':
          return line(`Service ${name} ended${code} and is started again in a moment`, 'bad')
        case 'failed':
          return line(`Service ${name} failed${code} and is not tried again`, 'bad')
        case 'exited':
          return line(`Service ${name} is done`)
        case 'stopped':
          return line(`Service ${name} was stopped`)
        default:
          return null
      }
    }
    case 'schedule': {
      const { name, outcome, reason } = event.data
      const why = reason ? `: ${reason}` : ''
      return line(
        `Schedule ${name} ${OUTCOMES[outcome] ?? outcome}${why}`,
        outcome === 'failed' ? 'bad' : outcome === 'fired' ? 'good' : 'plain',
      )
    }
    case 'receipt': {
      const { number, argv, exitCode, signal, stamp } = event.data
      // The first word of it is enough: the second says that the files were read, too.
      if (stamp === 'pending') return null
      const end = exitCode === null ? `signal ${signal}` : `exit code ${exitCode}`
      return line(
        `Receipt ${number}, ${end}: ${argv.at(-1) ?? ''}`,
        exitCode === 0 ? 'good' : 'bad',
      )
    }
    case 'run_step': {
      const { text, tone } = stepWords(event.data)
      return line(text, tone)
    }
    case 'mcp_server': {
      const { name, state, message } = event.data
      const why = message ? `: ${message}` : ''
      switch (state) {
        case 'failed':
          return line(`The server ${name} failed${why}`, 'bad')
        case 'needs_sign_in':
          return line(`The server ${name} needs you to sign in`, 'ask')
        case 'ready':
          return line(`The server ${name} runs`, 'good')
        default:
          return null
      }
    }
    case 'extension_error':
      return line(extensionWords(event.data), 'bad')
    case 'error':
      return line(event.data.message, 'bad')
    default:
      return null
  }
}
