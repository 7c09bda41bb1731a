// What becomes of a secret: a variable of programs, or brokered to the requests that are named. As it is
// typed, and in words.
import type { Binding, Secret } from '@/api/secrets'
import { brokeredFault, listed, valueFault } from './secret-words'

/** Each a list between commas. */
type TypedBinding = Record<keyof Binding, string>

export interface Way {
  kind: Exclude<Secret['kind'], 'mcp'>
  binding: TypedBinding
}

/** The way of one that is bound so, or of a plain one. */
export function wayOf(binding: Binding | null): Way {
  const text = (words: readonly string[] | undefined) => (words ?? []).join(', ')
  return {
    kind: binding ? 'brokered' : 'environment',
    binding: {
      hosts: text(binding?.hosts),
      methods: text(binding?.methods),
      paths: text(binding?.paths),
      headers: text(binding?.headers),
    },
  }
}

/** Null: a variable. */
export function bindingOf({ kind, binding }: Way): Binding | null {
  if (kind === 'environment') return null
  return {
    hosts: listed(binding.hosts),
    methods: listed(binding.methods),
    paths: listed(binding.paths),
    headers: listed(binding.headers),
  }
}

/** What is wrong with where it goes; null: nothing. */
export function hostsFault(way: Way): string | null {
  return bindingOf(way)?.hosts.length === 0 ? 'Name a host: api.example.com' : null
}

/** What is wrong with a value that goes this way; null: nothing. */
export function wayFault(way: Way, value: string): string | null {
  return (way.kind === 'brokered' ? brokeredFault : valueFault)(value)
}

/** The requests that carry it, without where in them. */
export function requestWords({ hosts, methods, paths }: Binding): string {
  const parts = [methods.join(' '), hosts.join(', '), paths.join(', ')]
  return parts.filter((part) => part !== '').join(' ')
}

/** Where in them, if that is not the usual place. */
export function headerWords({ headers }: Binding): string {
  const named = headers.join(', ')
  return named === '' || named === 'authorization' ? '' : `, in ${named}`
}

/** Where the value goes, in a sentence. */
export function boundWords(binding: Binding): string {
  return `Goes to ${requestWords(binding)} alone${headerWords(binding)}.`
}
