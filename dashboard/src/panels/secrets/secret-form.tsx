// A secret is set: a new one, or another value for one that there is.
import { useState } from 'react'
import { wordsOf } from '@/api/http'
import type { Secret } from '@/api/secrets'
import { bindingOf, hostsFault, wayFault, wayOf, type Way } from '@/components/secret-way'
import { SecretWayFields } from '@/components/secret-way-fields'
import { nameFault, pasted } from '@/components/secret-words'
import { useProject } from '@/hooks/live'
import { useSecretActions } from '@/hooks/secrets'
import { Field, Input } from '@/ui/field'
import { FormDialog } from '@/ui/form-dialog'
import { SecretInput } from '@/ui/secret-input'
import { Failure } from '@/ui/state'
import { toast } from '@/ui/toasts'

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
  const [typed, setTyped] = useState('')
  const [value, setValue] = useState('')
  const before = taken.find((secret) => secret.name === (known ?? typed.trim()))
  const [chosen, setChosen] = useState<Way | null>(null)
  const way = chosen ?? wayOf(before?.binding ?? null)
  // What is missing is not held against who has just begun.
  const [tried, setTried] = useState(false)
  const name = known ?? typed.trim()
  const wrongName = known === null ? nameFault(name) : null
  const wrongValue = wayFault(way, pasted(value))
  const replaces = known === null && before !== undefined

  const submit = () => {
    setTried(true)
    if (wrongName || wrongValue || hostsFault(way)) return
    putOne.mutate(
      { name, given: { value: pasted(value), binding: bindingOf(way) } },
      {
        onSuccess: () => {
          toast.success(`${name} is set`)
          onClose()
        },
      },
    )
  }

  return (
    <FormDialog
      title={known === null ? 'New secret' : `Set ${known}`}
      note="Programs that are started from then on find it in their environment. It is kept sealed, and never shown again."
      verb={replaces ? 'Replace' : 'Set'}
      doing="Setting…"
      busy={putOne.isPending}
      onSubmit={submit}
      onClose={onClose}
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
      <SecretWayFields way={way} tried={tried} onChange={setChosen} />
      {putOne.error && <Failure compact title="It was not set" message={wordsOf(putOne.error)} />}
    </FormDialog>
  )
}
