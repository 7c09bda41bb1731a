// How rows of the inspect database are drawn: a glyph and a word each.
import type { Integration, Service } from '@/api/bridge-types'
import type { Look } from './project-state'

/** `up`: whether the machine has processes; what was running when it stopped runs no more. */
export function serviceLook(status: Service['status'], up: boolean): Look {
  if (status === 'error') return { shape: 'cross', tone: 'red', word: 'failed' }
  return up && status === 'running'
    ? { shape: 'play', tone: 'moss', word: 'running' }
    : { shape: 'square', tone: 'quiet', word: up ? status : 'stopped' }
}

export function integrationLook({ status }: Pick<Integration, 'status'>): Look {
  if (status === 'error') return { shape: 'cross', tone: 'red', word: 'failed' }
  return status === 'connected'
    ? { shape: 'disc', tone: 'moss', word: status }
    : { shape: 'ring', tone: 'quiet', word: status }
}
