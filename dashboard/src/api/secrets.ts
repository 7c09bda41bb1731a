// Secrets of a project: names come out, values only go in.
import { call } from './http'

/** Which requests the gateway puts a value into. Empty lists: every one; of headers, `authorization`. */
export interface Binding {
  hosts: string[]
  methods: string[]
  paths: string[]
  headers: string[]
}

export interface Secret {
  name: string
  /** `brokered`: programs have a placeholder. */
  kind: 'environment' | 'brokered'
  /** Of a brokered one. */
  binding: Binding | null
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
    /** One, with what becomes of it: without a binding a variable of programs. */
    put: (name: string, value: string, binding: Binding | null) =>
      call<SecretList>('PUT', `${base}/${seg(name)}`, {
        value,
        ...(binding ? { kind: 'brokered', binding } : { kind: 'environment' }),
      }),
    remove: (name: string) => call<SecretList>('DELETE', `${base}/${seg(name)}`),
  }
}
