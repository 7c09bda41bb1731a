// Which requests a brokered secret is put into, as it is typed.
import type { Binding } from '@/api/secrets'
import { Field, Input } from '@/ui/field'

/** Each a list between commas. */
export type TypedBinding = Record<keyof Binding, string>

export function typedOf(binding: Binding | null): TypedBinding {
  const text = (words: readonly string[] | undefined) => (words ?? []).join(', ')
  return {
    hosts: text(binding?.hosts),
    methods: text(binding?.methods),
    paths: text(binding?.paths),
    headers: text(binding?.headers),
  }
}

const FIELDS = [
  {
    key: 'hosts',
    label: 'Hosts',
    placeholder: 'api.stripe.com',
    note: 'Or *.example.com for all names below it. The network’s level must allow them too.',
  },
  { key: 'methods', label: 'Only these methods', placeholder: 'all', note: null },
  {
    key: 'paths',
    label: 'Only these paths',
    placeholder: 'all',
    note: '/v1/* means all that begin so.',
  },
  { key: 'headers', label: 'In these headers', placeholder: 'authorization', note: null },
] as const

export function BindingFields({
  typed,
  wrongHosts,
  onChange,
}: {
  typed: TypedBinding
  wrongHosts: string | null
  onChange: (typed: TypedBinding) => void
}) {
  return FIELDS.map(({ key, label, placeholder, note }) => (
    <Field key={key} label={label} note={note} error={key === 'hosts' ? wrongHosts : null}>
      {(ids) => (
        <Input
          {...ids}
          mono
          value={typed[key]}
          placeholder={placeholder}
          onChange={(event) => onChange({ ...typed, [key]: event.target.value })}
        />
      )}
    </Field>
  ))
}
