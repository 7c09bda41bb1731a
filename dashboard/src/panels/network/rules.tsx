// The hosts of the allow-list: each with a cross, and a line for one more.
import { useState } from 'react'
import { wordsOf } from '@/api/http'
import type { EgressAnswer } from '@/api/machine-types'
import { useSetEgress } from '@/hooks/egress'
import { Button, IconButton } from '@/ui/button'
import { Field, Input } from '@/ui/field'

export function Rules({ setting }: { setting: EgressAnswer }) {
  const { set, allow } = useSetEgress()
  const [typed, setTyped] = useState('')
  const { inForce, rules } = setting
  if (inForce !== 'allow-list' && rules.length === 0) return null
  const add = () => {
    const rule = typed.trim()
    if (rule === '') return
    allow.mutate(rule, { onSuccess: () => setTyped('') })
  }
  return (
    <section className="mt-3">
      <h3 className="font-semibold">Allowed hosts</h3>
      {inForce !== 'allow-list' && (
        <p className="text-sm text-ink-3">Kept for the allow-list; another level holds now.</p>
      )}
      {rules.length === 0 && <p className="text-ink-3">None yet: nothing but models is reached.</p>}
      <ul aria-label="Allowed hosts" className="mt-1">
        {rules.map((rule) => (
          <li key={rule} className="flex min-h-7 items-center gap-2 max-md:min-h-10">
            <code className="min-w-0 grow truncate text-sm">{rule}</code>
            <IconButton
              icon="close"
              label={`Take ${rule} off`}
              disabled={set.isPending}
              onClick={() => set.mutate({ rules: rules.filter((each) => each !== rule) })}
            />
          </li>
        ))}
      </ul>
      <form
        className="mt-1 flex items-start gap-2"
        onSubmit={(event) => {
          event.preventDefault()
          add()
        }}
      >
        <div className="grow">
          <Field
            label="Add a host"
            note="Like example.com, *.example.com for all below it, or db.example.com:5432 for one port."
            error={allow.error ? wordsOf(allow.error) : null}
          >
            {(ids) => (
              <Input
                {...ids}
                mono
                value={typed}
                placeholder="example.com"
                onChange={(event) => {
                  allow.reset()
                  setTyped(event.target.value)
                }}
              />
            )}
          </Field>
        </div>
        <span className="pt-6">
          <Button type="submit" disabled={typed.trim() === '' || allow.isPending}>
            Add
          </Button>
        </span>
      </form>
    </section>
  )
}
