// Secrets of a project: names come out, values only go in.
import type { Schemas } from './generated'
import { call } from './http'

/** Which requests the gateway puts a value into. Empty lists: every one; of headers, `authorization`. */
export type Binding = Schemas['Binding']
export type Secret = Schemas['Secret']
export type SecretList = Schemas['Secrets']

/** A binding as a machine says it: of that it is believed that it is one, if it looks like one. Hosts
 * that look like others are none: the server writes names in ASCII. */
export function readBinding(value: unknown): Binding | null {
  if (typeof value !== 'object' || value === null) return null
  const { hosts, methods, paths, headers } = value as Record<string, unknown>
  const texts = (list: unknown): list is string[] =>
    Array.isArray(list) &&
    list.every((each) => typeof each === 'string' && /^[\x21-\x7e]+$/.test(each))
  return texts(hosts) && hosts.length > 0 && texts(methods) && texts(paths) && texts(headers)
    ? { hosts, methods, paths, headers }
    : null
}

/** A value, and what becomes of it: without a binding a variable of programs. */
export interface Given {
  value: string
  binding: Binding | null
}

const body = ({ value, binding }: Given) => ({
  value,
  ...(binding ? { kind: 'brokered', binding } : { kind: 'environment' }),
})

const seg = encodeURIComponent

export function secretsOf(project: string) {
  const base = `/v1/projects/${seg(project)}/secrets`
  return {
    list: () => call<SecretList>('GET', base),
    /** Some at once. `wake`: the machine goes on with them, for an agent that waits. */
    set: (given: Readonly<Record<string, Given>>, wake: boolean) => {
      const values = Object.fromEntries(
        Object.entries(given).map(([name, one]) => [name, body(one)] as const),
      )
      return call<SecretList>('POST', base, { values, ...(wake ? { wake } : {}) })
    },
    put: (name: string, given: Given) =>
      call<SecretList>('PUT', `${base}/${seg(name)}`, body(given)),
    remove: (name: string) => call<SecretList>('DELETE', `${base}/${seg(name)}`),
  }
}
