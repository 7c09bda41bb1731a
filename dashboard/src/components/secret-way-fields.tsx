// What programs get of a secret, and which requests carry it, as they are chosen.
import { Field, Input, Segments } from '@/ui/field'
import { hostsFault, type Way } from './secret-way'

const KINDS = [
  { value: 'environment', label: 'The secret itself' },
  { value: 'brokered', label: 'A placeholder' },
] as const

const NOTES = {
  environment: 'They can read it, and send it anywhere.',
  brokered:
    'The value never enters the machine. It is put into requests to the hosts below, and taken out of what those answer.',
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

export function SecretWayFields({
  way,
  tried,
  of,
  onChange,
}: {
  way: Way
  /** Whether what is missing is said. */
  tried: boolean
  /** Its name, where there are several. */
  of?: string
  onChange: (way: Way) => void
}) {
  return (
    <>
      <div className="flex flex-col gap-1">
        <span className="text-sm font-medium text-ink-2">Programs get</span>
        <div>
          <Segments
            label={of === undefined ? 'What programs get' : `What programs get of ${of}`}
            value={way.kind}
            options={KINDS}
            onChange={(kind) => onChange({ ...way, kind })}
          />
        </div>
        <p className="text-sm text-pretty text-ink-3">{NOTES[way.kind]}</p>
      </div>
      {way.kind === 'brokered' &&
        FIELDS.map(({ key, label, placeholder, note }) => (
          <Field
            key={key}
            label={label}
            note={note}
            error={tried && key === 'hosts' ? hostsFault(way) : null}
          >
            {(ids) => (
              <Input
                {...ids}
                mono
                value={way.binding[key]}
                placeholder={placeholder}
                onChange={(event) =>
                  onChange({ ...way, binding: { ...way.binding, [key]: event.target.value } })
                }
              />
            )}
          </Field>
        ))}
    </>
  )
}
