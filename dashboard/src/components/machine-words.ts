// What a machine's state, its network and its reached limits mean, in sentences.
import type { LimitHit } from '@/api/events'
import type { Ability, Doctor, Machine, MachineState } from '@/api/types'
import { bytes, plural } from '@/util/format'

export const MEANING: Record<MachineState, string> = {
  creating: 'Its disk is being made. That takes a moment.',
  running: 'Its processes run, and it answers at once.',
  frozen:
    'Its processes stand still in memory and use no processor. The next request thaws it within milliseconds, and everything goes on where it was.',
  cold: 'Its processes have ended; files, conversations and the database are kept. The next request, message or schedule wakes it, and its services come back.',
  stopped:
    'A person stopped it. Requests and schedules do not wake it: only a person starts it again. Everything on its disk is kept.',
  error: 'It could not be made or started, or was ended. What is on its disk is kept.',
  destroyed: 'It is gone, and its disk with it.',
}

export function egressWords(egress: Machine['egress']): string {
  switch (egress.inForce) {
    case 'none':
      return 'models only'
    case 'allow-list':
      return plural(egress.rules.length, 'allowed host')
    case 'open':
      return 'public hosts, logged'
    default:
      return egress.inForce
  }
}

const LIMIT_TITLES: Record<LimitHit['kind'], string> = {
  memory: 'Out of memory',
  pids: 'Out of processes',
  disk: 'The disk is full',
  log: 'The log folder is full',
}

/** Title of a reached limit, and how far it went: `4.0 GiB of 4.0 GiB`. */
export function limitWords({ kind, peak, limit }: LimitHit): { title: string; use: string | null } {
  const amount = (n: number) => (kind === 'pids' ? n.toLocaleString('en-US') : bytes(n))
  const of = limit === null ? '' : ` of ${amount(limit)}`
  return {
    title: LIMIT_TITLES[kind] ?? 'A limit was reached',
    use:
      peak === null ? (limit === null ? null : `the limit is ${amount(limit)}`) : amount(peak) + of,
  }
}

/** What the host was found to enforce for machines of this one's backend; undefined: it was not looked at. */
export function ofBackend(
  doctor: Doctor | undefined,
  { backend }: Pick<Machine, 'backend'>,
): Ability[] | undefined {
  return doctor?.backends.find(({ name, problem }) => name === backend && !problem)?.abilities
}
