// The agent asks for secrets: a form whose values go to the server, and not into the conversation. It may
// propose which requests carry one; what becomes of it is chosen here.
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { wordsOf } from '@/api/http'
import { readBinding, type Binding } from '@/api/secrets'
import type { ToolRow } from '@/api/transcript/types'
import {
  bindingOf,
  boundWords,
  hostsFault,
  wayFault,
  wayOf,
  type Way,
} from '@/components/secret-way'
import { pasted } from '@/components/secret-words'
import { useProject } from '@/hooks/live'
import { useMachineState } from '@/hooks/machine'
import { queries } from '@/hooks/queries'
import { useSecretActions } from '@/hooks/secrets'
import { Button } from '@/ui/button'
import { detailsOf } from '../tool-words'
import { Answered, AskedForm, isOver } from './asked'
import { AskedSecret } from './asked-secret'

/** What the agent is told when they are not given. */
const NOT_NOW = 'Not now. Go on without them if you can, or say what cannot be done.'

const texts = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : [])

/** Bindings by name, those of them that are some. */
function readBindings(value: unknown): Readonly<Record<string, Binding>> {
  if (typeof value !== 'object' || value === null) return {}
  const read = Object.entries(value).map(([name, one]) => [name, readBinding(one)] as const)
  return Object.fromEntries(read.filter((one): one is [string, Binding] => one[1] !== null))
}

export function SecretsRow({ row, sessionId }: { row: ToolRow; sessionId: string }) {
  const input = row.input ?? {}
  const reason = row.question?.question ?? (typeof input.reason === 'string' ? input.reason : '')
  const names = row.question?.secrets ?? texts(input.names)

  if (isOver(row)) {
    const details = detailsOf(row)
    const missing = texts(details.missing)
    const set = row.state === 'done' ? texts(details.set) : []
    const brokered = readBindings(details.brokered)
    const left = set.length === 0 ? names : missing
    // The tool refused the call: no form was ever shown.
    const refused = row.state === 'failed' && details.cancelled !== true
    return (
      <Answered question={reason} given={set.length > 0}>
        {set.length > 0 && <Named names={set} words="set" />}
        {left.length > 0 && (
          <Named
            names={left}
            words={refused ? 'not asked for: the agent’s request was refused' : 'not set'}
          />
        )}
        {set.map((name) => {
          const binding = brokered[name]
          return (
            binding && (
              <div key={name} className="text-sm text-pretty break-words text-ink-3">
                {set.length > 1 && <span className="font-mono">{name}: </span>}
                {boundWords(binding)}
              </div>
            )
          )
        })}
      </Answered>
    )
  }
  return (
    <Form
      key={row.callId}
      callId={row.callId}
      reason={reason}
      // Until it is asked there is nothing to fill in.
      names={row.question ? names : []}
      proposed={readBindings(row.question?.bindings)}
      sessionId={sessionId}
    />
  )
}

function Named({ names, words }: { names: readonly string[]; words: string }) {
  return (
    <div>
      <span className="font-mono text-sm">{names.join(', ')}</span> {words}
    </div>
  )
}

function Form({
  callId,
  reason,
  names,
  proposed,
  sessionId,
}: {
  callId: string
  reason: string
  names: readonly string[]
  proposed: Readonly<Record<string, Binding>>
  sessionId: string
}) {
  const { id, live } = useProject()
  const { closed } = useMachineState()
  const { set } = useSecretActions(id)
  const { data: known } = useQuery(queries.secrets(id))
  const [values, setValues] = useState<Readonly<Record<string, string>>>({})
  const [chosen, setChosen] = useState<Readonly<Record<string, Way>>>({})
  const [given, setGiven] = useState<readonly string[]>([])
  const [declining, setDeclining] = useState(false)
  const [error, setError] = useState<string | null>(null)

  const asked = names
    .filter((name) => !given.includes(name))
    .map((name) => {
      // Where a person bound it before, as in the project that this is a fork of, counts more.
      const bound = known?.secrets.find((secret) => secret.name === name)?.binding
      const way = chosen[name] ?? wayOf(bound ?? proposed[name] ?? null)
      const value = pasted(values[name] ?? '')
      const fault = value === '' ? null : wayFault(way, value)
      return { name, way, value, fault, isProposed: !bound && name in proposed }
    })
  const filled = asked.filter(({ value }) => value !== '')
  const ready =
    filled.length > 0 && filled.every(({ way, fault }) => fault === null && !hostsFault(way))

  const submit = () => {
    if (!ready || set.isPending) return
    setError(null)
    const sent = filled.map(
      ({ name, way, value }) => [name, { value, binding: bindingOf(way) }] as const,
    )
    set.mutate(
      // The agent goes on by itself, also in a machine that has gone to sleep meanwhile.
      { given: Object.fromEntries(sent), wake: filled.length === asked.length },
      {
        onSuccess: () => {
          setValues({})
          setGiven([...given, ...filled.map(({ name }) => name)])
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
    <AskedForm
      label="Secrets that the agent asks for"
      question={reason}
      error={error}
      onSubmit={submit}
    >
      <div className="flex flex-col gap-3">
        {asked.map(({ name, way, fault, isProposed }) => (
          <AskedSecret
            key={name}
            name={name}
            typed={values[name] ?? ''}
            way={way}
            isProposed={isProposed}
            fault={fault}
            onType={(value) => setValues({ ...values, [name]: value })}
            onChoose={(next) => setChosen({ ...chosen, [name]: next })}
          />
        ))}
      </div>
      {names.length > 0 && asked.length === 0 ? (
        <p className="text-sm text-ink-3">
          {closed
            ? 'They are set. The agent goes on when you start the machine.'
            : 'They are set. The agent goes on…'}
        </p>
      ) : (
        <>
          <p className="mt-3 text-sm text-pretty text-ink-3">
            Values are sealed on the way. The agent sees the names alone.
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
    </AskedForm>
  )
}
