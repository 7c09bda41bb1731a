// The agent asks for secrets: a form whose values go to the server, and not into the conversation.
import { useState, type FormEvent } from 'react'
import { wordsOf } from '@/api/http'
import type { ToolRow } from '@/api/transcript/types'
import { pasted, valueFault } from '@/components/secret-words'
import { useProject } from '@/hooks/live'
import { useMachineState } from '@/hooks/machine'
import { useSecretActions } from '@/hooks/secrets'
import { Button } from '@/ui/button'
import { Field } from '@/ui/field'
import { Glyph } from '@/ui/glyph'
import { SecretInput } from '@/ui/secret-input'
import { detailsOf } from '../tool-words'

/** What the agent is told when they are not given. */
const NOT_NOW = 'Not now. Go on without them if you can, or say what cannot be done.'

const texts = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : [])

export function SecretsRow({ row, sessionId }: { row: ToolRow; sessionId: string }) {
  const input = row.input ?? {}
  const reason = row.question?.question ?? (typeof input.reason === 'string' ? input.reason : '')
  const names = row.question?.secrets ?? texts(input.names)

  if (row.state === 'done' || row.state === 'failed' || row.state === 'cut') {
    const set = texts(detailsOf(row).set)
    const given = row.state === 'done' && set.length > 0
    return (
      <div className="border-l-2 pl-3">
        <div className="max-w-[72ch] text-md text-pretty text-ink-2">{reason}</div>
        <div className="mt-0.5 flex items-baseline gap-2 text-md">
          <Glyph shape={given ? 'tick' : 'square'} tone={given ? 'moss' : 'quiet'} />
          <span className="max-w-[72ch]">
            <span className="font-mono text-sm">{(given ? set : names).join(', ')}</span>
            {given ? ' set' : ' not set'}
          </span>
        </div>
      </div>
    )
  }
  return (
    <Form
      key={row.callId}
      callId={row.callId}
      reason={reason}
      // Until it is asked there is nothing to fill in.
      names={row.question ? names : []}
      sessionId={sessionId}
    />
  )
}

function Form({
  callId,
  reason,
  names,
  sessionId,
}: {
  callId: string
  reason: string
  names: readonly string[]
  sessionId: string
}) {
  const { id, live } = useProject()
  const { closed } = useMachineState()
  const { set } = useSecretActions(id)
  const [values, setValues] = useState<Readonly<Record<string, string>>>({})
  const [given, setGiven] = useState<readonly string[]>([])
  const [declining, setDeclining] = useState(false)
  const [error, setError] = useState<string | null>(null)
  const open = names.filter((name) => !given.includes(name))
  const filled = open.filter((name) => pasted(values[name] ?? '') !== '')
  const faults = Object.fromEntries(
    filled.map((name) => [name, valueFault(pasted(values[name] ?? ''))] as const),
  )
  const ready = filled.length > 0 && filled.every((name) => faults[name] === null)

  const submit = (event: FormEvent) => {
    event.preventDefault()
    if (!ready || set.isPending) return
    setError(null)
    const sent = Object.fromEntries(filled.map((name) => [name, pasted(values[name] ?? '')]))
    set.mutate(
      // The agent goes on by itself, also in a machine that has gone to sleep meanwhile.
      { values: sent, wake: filled.length === open.length },
      {
        onSuccess: () => {
          setValues({})
          setGiven([...given, ...filled])
        },
        onError: (cause) => setError(`They were not set: ${wordsOf(cause)}`),
      },
    )
  }
  const decline = async () => {
    setDeclining(true)
    setError(null)
    try {
      await live.bridge.answer(sessionId, callId, NOT_NOW)
    } catch (cause) {
      setError(`The answer was not taken: ${wordsOf(cause)}`)
      setDeclining(false)
    }
  }

  return (
    <form
      onSubmit={submit}
      aria-label="Secrets that the agent asks for"
      className="rounded-md border border-l-2 border-l-amber bg-surface p-3"
    >
      <div className="mb-2 flex gap-2">
        <span className="mt-1">
          <Glyph shape="ask" tone="amber" title="needs you" />
        </span>
        <span className="max-w-[72ch] text-md font-medium text-pretty">{reason || 'Asking…'}</span>
      </div>
      <div className="flex flex-col gap-2">
        {open.map((name) => (
          <Field key={name} label={name} error={faults[name] ?? null}>
            {(ids) => (
              <SecretInput
                {...ids}
                value={values[name] ?? ''}
                placeholder="Paste its value"
                onChange={(event) => setValues({ ...values, [name]: event.target.value })}
              />
            )}
          </Field>
        ))}
      </div>
      {names.length > 0 && open.length === 0 ? (
        <p className="text-sm text-ink-3">
          {closed
            ? 'They are set. The agent goes on when you start the machine.'
            : 'They are set. The agent goes on…'}
        </p>
      ) : (
        <>
          <p className="mt-1 text-sm text-pretty text-ink-3">
            Values go to the machine’s environment, sealed on the way. The agent sees the names
            alone.
          </p>
          <div className="mt-2 flex gap-2">
            <Button
              type="submit"
              variant="primary"
              disabled={!ready || set.isPending}
              className="h-8"
            >
              {set.isPending ? 'Setting…' : 'Set'}
            </Button>
            <Button
              className="h-8"
              disabled={closed || declining || names.length === 0}
              onClick={() => void decline()}
            >
              Not now
            </Button>
          </div>
        </>
      )}
      {error && (
        <div role="alert" className="mt-2 text-sm text-red-text">
          {error}
        </div>
      )}
    </form>
  )
}
