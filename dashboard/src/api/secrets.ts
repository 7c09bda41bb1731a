// Secrets of a project: names come out, values only go in.
import { call } from './http'

export interface Secret {
  name: string
  kind: string
  /** `missing`: only the name is known, it came along with a fork. `unreadable`: the server's master
   * key is another one. */
  state: 'set' | 'missing' | 'unreadable'
  revision: number
  setAt: number
  /** Name of who set it; null: they are gone. */
  setBy: string | null
}

export interface SecretList {
  revision: number
  /** Whether the running machine has these; null: it does not run, or is paused. */
  inForce: boolean | null
  secrets: Secret[]
}

const seg = encodeURIComponent

export function secretsOf(project: string) {
  const base = `/v1/projects/${seg(project)}/secrets`
  return {
    list: () => call<SecretList>('GET', base),
    /** Some at once. `wake`: the machine goes on with them, for an agent that waits. */
    set: (values: Readonly<Record<string, string>>, wake: boolean) =>
      call<SecretList>('POST', base, { values, ...(wake ? { wake } : {}) }),
    remove: (name: string) => call<SecretList>('DELETE', `${base}/${seg(name)}`),
  }
}
