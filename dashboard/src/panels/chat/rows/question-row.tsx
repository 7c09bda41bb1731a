// A question of the agent: options to choose, and room for other words.
import { useId, useState, type FormEvent } from 'react'
import { wordsOf } from '@/api/http'
import type { ToolRow } from '@/api/transcript/types'
import { useProject } from '@/hooks/live'
import { useMachineState } from '@/hooks/machine'
import { Button } from '@/ui/button'
import { CONTROL } from '@/ui/field'
import { Glyph } from '@/ui/glyph'
import { cx } from '@/util/class'
import { resultText } from '../tool-words'

export function QuestionRow({ row, sessionId }: { row: ToolRow; sessionId: string }) {
  const input = row.input ?? {}
  const question =
    row.question?.question ?? (typeof input.question === 'string' ? input.question : '')
  const options =
    row.question?.options ?? (Array.isArray(input.options) ? input.options.map(String) : [])

  if (row.state === 'done' || row.state === 'failed' || row.state === 'cut') {
    return (
      <div className="border-l-2 pl-3">
        <div className="max-w-[72ch] text-md text-pretty text-ink-2">{question}</div>
        <div className="mt-0.5 flex items-baseline gap-2 text-md">
          <Glyph
            shape={row.state === 'done' ? 'tick' : 'square'}
            tone={row.state === 'done' ? 'moss' : 'quiet'}
          />
          <span className="max-w-[72ch] whitespace-pre-wrap">
            {row.state === 'done' ? resultText(row.result) : 'Not answered.'}
          </span>
        </div>
      </div>
    )
  }
  return (
    <Form
      key={row.callId}
      callId={row.callId}
      question={question}
      options={options}
      sessionId={sessionId}
    />
  )
}

function Form({
  callId,
  question,
  options,
  sessionId,
}: {
  callId: string
  question: string
  options: readonly string[]
  sessionId: string
}) {
  const { live } = useProject()
  const { closed } = useMachineState()
  const name = useId()
  const [chosen, setChosen] = useState<string | null>(null)
  const [text, setText] = useState('')
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<string | null>(null)
  const answer = text.trim() || chosen

  const submit = async (event: FormEvent) => {
    event.preventDefault()
    if (!answer) return
    setBusy(true)
    setError(null)
    try {
      await live.bridge.answer(sessionId, callId, answer)
    } catch (cause) {
      setError(wordsOf(cause))
      setBusy(false)
    }
  }

  return (
    <form
      onSubmit={(event) => void submit(event)}
      className="rounded-md border border-l-2 border-l-amber bg-surface p-3"
    >
      <fieldset disabled={closed}>
        <div className="mb-2 flex gap-2">
          <span className="mt-1">
            <Glyph shape="ask" tone="amber" title="needs you" />
          </span>
          <span className="max-w-[72ch] text-md font-medium text-pretty">
            {question || 'Asking…'}
          </span>
        </div>
        <div role="radiogroup" aria-label={question} className="mb-2 flex flex-col">
          {options.map((option) => (
            <label
              key={option}
              className="flex min-h-8 items-center gap-2 rounded-md px-1 hover:bg-hover has-disabled:opacity-55 max-md:min-h-11"
            >
              <input
                type="radio"
                name={name}
                checked={chosen === option && !text.trim()}
                onChange={() => {
                  setChosen(option)
                  setText('')
                }}
                className="m-0.5 size-3.5 shrink-0 appearance-none rounded-full border border-line-strong checked:border-4 checked:border-moss"
              />
              {option}
            </label>
          ))}
        </div>
        <div className="flex gap-2">
          <input
            value={text}
            onChange={(event) => setText(event.target.value)}
            placeholder={options.length > 0 ? 'Or in other words' : 'Your answer'}
            aria-label="Your answer"
            className={cx(CONTROL)}
          />
          <Button type="submit" variant="primary" disabled={!answer || busy} className="h-8">
            {busy ? 'Answering…' : 'Answer'}
          </Button>
        </div>
        {error && (
          <div role="alert" className="mt-2 text-sm text-red-text">
            The answer was not taken: {error}
          </div>
        )}
        {closed && (
          <p className="mt-2 text-sm text-ink-3">It can be answered when the machine runs.</p>
        )}
      </fieldset>
    </form>
  )
}
