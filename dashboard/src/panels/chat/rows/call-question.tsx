// What a person is asked about a call: whether it may be done, be done again, go on. Stands below it.
import { useState } from 'react'
import type { Question } from '@/api/bridge-types'
import { ApiError, wordsOf } from '@/api/http'
import { Ticked } from '@/components/ticked'
import { useOpenPanel } from '@/hooks/dock'
import { useProject } from '@/hooks/live'
import { useMachineState } from '@/hooks/machine'
import { Button } from '@/ui/button'
import { CONTROL } from '@/ui/field'
import { AskedForm } from './asked'

const LABELS: Record<NonNullable<Question['kind']>, { label: string; words: string }> = {
  permission: { label: 'Permission', words: 'Or say no in your own words' },
  doubt: { label: 'Call in doubt', words: 'Or say what to do instead' },
  loop: { label: 'Going round in circles', words: 'Or say what to do instead' },
}

export function CallQuestion({
  question,
  command,
  sessionId,
}: {
  question: Question
  /** The whole command line that is asked about, where it is one. */
  command?: string | undefined
  sessionId: string
}) {
  const { live } = useProject()
  const { closed } = useMachineState()
  const openPanel = useOpenPanel()
  const [text, setText] = useState('')
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<string | null>(null)
  const { label, words } = LABELS[question.kind ?? 'permission']
  const [first = '', ...rest] = question.question.split('\n\n')
  const about = rest.join('\n\n')
  // A rule asks about a part of it; who allows that allows all of it.
  const whole = command !== undefined && !about.startsWith(command.trim()) ? command : null

  const answer = async (said: string) => {
    setBusy(true)
    setError(null)
    try {
      await live.bridge.answer(sessionId, question.id ?? question.toolCallId, said)
    } catch (cause) {
      setBusy(false)
      if (cause instanceof ApiError && cause.code === 'not_found') {
        // Answered elsewhere: what is so by now is read anew.
        void live.session(sessionId).load(true)
      } else setError(`The answer was not taken: ${wordsOf(cause)}`)
    }
  }

  return (
    <div className="mt-1 mb-2">
      <AskedForm
        label={label}
        question={<Ticked text={first} />}
        disabled={closed}
        error={error}
        onSubmit={() => {
          if (text.trim() && !busy) void answer(text.trim())
        }}
      >
        {whole !== null && (
          <>
            <Code text={whole} />
            <p className="mb-1 text-sm text-ink-3">Asked because of</p>
          </>
        )}
        {about && <Code text={about} />}
        <div className="mb-2 flex flex-wrap gap-2">
          {question.options.map((option) => (
            <Button
              key={option}
              disabled={busy}
              className="h-8"
              onClick={() => void answer(option)}
            >
              {option}
            </Button>
          ))}
        </div>
        <div className="flex gap-2">
          <input
            value={text}
            onChange={(event) => setText(event.target.value)}
            placeholder={words}
            aria-label={words}
            className={CONTROL}
          />
          <Button type="submit" disabled={!text.trim() || busy} className="h-8">
            Send
          </Button>
        </div>
        {question.kind === 'permission' && (
          <button
            type="button"
            className="mt-2 text-sm text-blue hover:underline"
            onClick={() => openPanel({ kind: 'agent', part: 'permissions' })}
          >
            What it may do without asking
          </button>
        )}
        {closed && (
          <p className="mt-2 text-sm text-ink-3">It can be answered when the machine runs.</p>
        )}
      </AskedForm>
    </div>
  )
}

function Code({ text }: { text: string }) {
  return (
    <pre
      // A long one is scrolled by keyboard too.
      // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
      tabIndex={0}
      className="mb-2 max-h-40 overflow-auto rounded-md bg-sunk px-3 py-2 text-sm break-words whitespace-pre-wrap"
    >
      {text}
    </pre>
  )
}
