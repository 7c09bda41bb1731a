// How rows of the inspect database are drawn: a glyph and a word each.
import type { Integration, Service } from '@/api/bridge-types'
import type { ServiceState } from '@/api/machine-types'
import type { Look } from './project-state'

const PROCESS: Record<ServiceState, Look> = {
  running: { shape: 'play', tone: 'moss', word: 'running' },
  backoff: { shape: 'half', tone: 'amber', word: 'starting again' },
  failed: { shape: 'cross', tone: 'red', word: 'failed' },
  exited: { shape: 'tick', tone: 'quiet', word: 'done' },
  stopped: { shape: 'square', tone: 'quiet', word: 'stopped' },
}

/** What is observed of its process wins over what is noted down. `alive`: whether the machine has
 * processes; what was running when it stopped runs no more. */
export function serviceLook(
  { status, process }: Pick<Service, 'status' | 'process'>,
  alive: boolean,
): Look {
  if (alive && process) return PROCESS[process.state] ?? PROCESS.stopped
  if (status === 'error') return PROCESS.failed
  return alive && status === 'running'
    ? PROCESS.running
    : { shape: 'square', tone: 'quiet', word: alive ? status : 'stopped' }
}

export function integrationLook({ status }: Pick<Integration, 'status'>): Look {
  if (status === 'error') return { shape: 'cross', tone: 'red', word: 'failed' }
  return status === 'connected'
    ? { shape: 'disc', tone: 'moss', word: status }
    : { shape: 'ring', tone: 'quiet', word: status }
}
