// A secret is set: a new one, or another value for one that there is.
import { useId, useState } from 'react'
import { wordsOf } from '@/api/http'
import { nameFault, pasted, valueFault } from '@/components/secret-words'
import { useProject } from '@/hooks/live'
import { useSecretActions } from '@/hooks/secrets'
import { Button } from '@/ui/button'
import { Dialog } from '@/ui/dialog'
import { Field, Input } from '@/ui/field'
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
  taken: readonly string[]
  onClose: () => void
}) {
  const { id } = useProject()
  const { set } = useSecretActions(id)
  const form = useId()
  const [typed, setTyped] = useState('')
  const [value, setValue] = useState('')
  // What is missing is not held against who has just begun.
  const [tried, setTried] = useState(false)
  const name = known ?? typed.trim()
  const wrongName = known === null ? nameFault(name) : null
  const wrongValue = valueFault(pasted(value))
  const replaces = known === null && taken.includes(name)

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
          if (wrongName || wrongValue || set.isPending) return
          set.mutate(
            { values: { [name]: pasted(value) }, wake: false },
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
        {set.error && <Failure compact title="It was not set" message={wordsOf(set.error)} />}
      </form>
      <div className="mt-3 flex justify-end gap-2">
        <Button onClick={onClose}>Cancel</Button>
        <Button variant="primary" type="submit" form={form} disabled={set.isPending}>
          {set.isPending ? 'Setting…' : replaces ? 'Replace' : 'Set'}
        </Button>
      </div>
    </Dialog>
  )
}
