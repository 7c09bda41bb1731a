// A model by its name, with those that are known offered while it is typed.
import { useQuery } from '@tanstack/react-query'
import { useId, type ComponentProps } from 'react'
import { queries } from '@/hooks/queries'
import { Input } from '@/ui/field'

export function ModelInput({
  value,
  all = false,
  onChange,
  ...rest
}: {
  value: string
  /** Also all models of a provider. */
  all?: boolean
  onChange: (value: string) => void
} & Omit<ComponentProps<typeof Input>, 'value' | 'onChange' | 'list'>) {
  const { data } = useQuery(queries.models)
  const names = useId()
  const models = (data?.models ?? []).filter((model) => !model.demo)
  const providers = all ? [...new Set(models.map((model) => model.provider))] : []
  return (
    <>
      <Input
        {...rest}
        mono
        required
        list={names}
        value={value}
        onChange={(event) => onChange(event.target.value)}
      />
      <datalist id={names}>
        {providers.map((provider) => (
          <option key={provider} value={`${provider}/*`}>
            All models of {provider}
          </option>
        ))}
        {models.map(({ provider, id, name }) => (
          <option key={`${provider}/${id}`} value={`${provider}/${id}`}>
            {name}
          </option>
        ))}
      </datalist>
    </>
  )
}
