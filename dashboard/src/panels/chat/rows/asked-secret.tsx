// One secret of those that the agent asks for: its value, and what is to become of that.
import { useState } from 'react'
import { bindingOf, headerWords, requestWords, type Way } from '@/components/secret-way'
import { SecretWayFields } from '@/components/secret-way-fields'
import { Button } from '@/ui/button'
import { Field } from '@/ui/field'
import { SecretInput } from '@/ui/secret-input'

export function AskedSecret({
  name,
  typed,
  way,
  isProposed,
  fault,
  onType,
  onChoose,
}: {
  name: string
  typed: string
  way: Way
  /** Whether the agent has proposed where it goes. */
  isProposed: boolean
  fault: string | null
  onType: (value: string) => void
  onChoose: (way: Way) => void
}) {
  const [choosing, setChoosing] = useState(false)
  return (
    <div>
      <Field label={name} error={fault}>
        {(ids) => (
          <SecretInput
            {...ids}
            value={typed}
            placeholder="Paste its value"
            onChange={(event) => onType(event.target.value)}
          />
        )}
      </Field>
      {choosing ? (
        <div className="mt-1 flex flex-col gap-3 border-l-2 pl-3">
          <SecretWayFields way={way} tried of={name} onChange={onChoose} />
        </div>
      ) : (
        <div className="flex items-start gap-2 text-sm text-ink-2">
          <p className="min-w-0 grow pt-1 text-pretty break-words">
            <WayWords way={way} isProposed={isProposed} />
          </p>
          <Button
            variant="ghost"
            className="-mr-2.5"
            aria-label={`Change what becomes of ${name}`}
            onClick={() => setChoosing(true)}
          >
            Change…
          </Button>
        </div>
      )}
    </div>
  )
}

function WayWords({ way, isProposed }: { way: Way; isProposed: boolean }) {
  const binding = bindingOf(way)
  if (!binding) return 'Programs get it as a variable: they can read it.'
  return (
    <>
      Brokered{isProposed && ', as the agent proposes'}: the machine never sees it, only requests to{' '}
      <span className="font-mono text-ink">{requestWords(binding)}</span> carry it
      {headerWords(binding)}.
    </>
  )
}
