// A secret is set: a new one, or another value for one that there is.
import { useId, useState } from 'react'
import { wordsOf } from '@/api/http'
import type { Secret } from '@/api/secrets'
import { brokeredFault, listed, nameFault, pasted, valueFault } from '@/components/secret-words'
import { useProject } from '@/hooks/live'
import { useSecretActions } from '@/hooks/secrets'
import { Button } from '@/ui/button'
import { Dialog } from '@/ui/dialog'
import { Field, Input, Segments } from '@/ui/field'
import { SecretInput } from '@/ui/secret-input'
import { Failure } from '@/ui/state'
import { toast } from '@/ui/toasts'
import { BindingFields, typedOf } from './binding-fields'

const KINDS = [
  { value: 'environment', label: 'The secret itself' },
  { value: 'brokered', label: 'A placeholder' },
] as const

const NOTES = {
  environment: 'They can read it, and send it anywhere.',
  brokered:
    'The value never enters the machine. It is put into requests to the hosts below, and taken out of what those answer.',
}

export function SecretForm({
  name: known,
  taken,
  onClose,
}: {
  /** Null: it is named here. */
  name: string | null
  taken: readonly Secret[]
  onClose: () => void
}) {
  const { id } = useProject()
  const { putOne } = useSecretActions(id)
  const form = useId()
  const [typed, setTyped] = useState('')
  const [value, setValue] = useState('')
  const before = taken.find((secret) => secret.name === (known ?? typed.trim()))
  const [chosen, setChosen] = useState<Secret['kind'] | null>(null)
  const kind = chosen ?? before?.kind ?? 'environment'
  const [binding, setBinding] = useState(() => typedOf(before?.binding ?? null))
  // What is missing is not held against who has just begun.
  const [tried, setTried] = useState(false)
  const name = known ?? typed.trim()
  const isBrokered = kind === 'brokered'
  const wrongName = known === null ? nameFault(name) : null
  const wrongValue = (isBrokered ? brokeredFault : valueFault)(pasted(value))
  const hosts = listed(binding.hosts)
  const wrongHosts = isBrokered && hosts.length === 0 ? 'Name a host: api.example.com' : null
  const replaces = known === null && before !== undefined

  return (
    <Dialog
      open
      onOpenChange={(open) => !open && onClose()}
      title={known === null ? 'New secret' : `Set ${known}`}
      note="Programs that are started from then on find it in their environment. It is kept sealed, and never shown again."
    >
      <form
        id={form}
        className="mt-3 flex flex-col gap-3"
        onSubmit={(event) => {
          event.preventDefault()
          setTried(true)
          if (wrongName || wrongValue || wrongHosts || putOne.isPending) return
          const bound = {
            hosts,
            methods: listed(binding.methods),
            paths: listed(binding.paths),
            headers: listed(binding.headers),
          }
          putOne.mutate(
            { name, value: pasted(value), binding: isBrokered ? bound : null },
            {
              onSuccess: () => {
                toast.success(`${name} is set`)
                onClose()
              },
            },
          )
        }}
      >
        {known === null && (
          <Field
            label="Name"
            error={tried ? wrongName : null}
            note={replaces ? 'There is one of this name: its value is replaced.' : null}
          >
            {(ids) => (
              <Input
                {...ids}
                // The dialog is opened to fill this in.
                // oxlint-disable-next-line jsx-a11y/no-autofocus
                autoFocus
                mono
                value={typed}
                placeholder="STRIPE_KEY"
                onChange={(event) => setTyped(event.target.value)}
              />
            )}
          </Field>
        )}
        <Field label="Value" error={tried ? wrongValue : null}>
          {(ids) => (
            <SecretInput
              {...ids}
              // oxlint-disable-next-line jsx-a11y/no-autofocus
              autoFocus={known !== null}
              value={value}
              onChange={(event) => setValue(event.target.value)}
            />
          )}
        </Field>
        <div className="flex flex-col gap-1">
          <span className="text-sm font-medium text-ink-2">Programs get</span>
          <div>
            <Segments label="What programs get" value={kind} options={KINDS} onChange={setChosen} />
          </div>
          <p className="text-sm text-pretty text-ink-3">{NOTES[kind]}</p>
        </div>
        {isBrokered && (
          <BindingFields
            typed={binding}
            wrongHosts={tried ? wrongHosts : null}
            onChange={setBinding}
          />
        )}
        {putOne.error && <Failure compact title="It was not set" message={wordsOf(putOne.error)} />}
      </form>
      <div className="mt-3 flex justify-end gap-2">
        <Button onClick={onClose}>Cancel</Button>
        <Button variant="primary" type="submit" form={form} disabled={putOne.isPending}>
          {putOne.isPending ? 'Setting…' : replaces ? 'Replace' : 'Set'}
        </Button>
      </div>
    </Dialog>
  )
}
