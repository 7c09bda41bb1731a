// A question of the agent: options to choose, and room for other words.
import { useId, useState } from 'react'
import { wordsOf } from '@/api/http'
import type { ToolRow } from '@/api/transcript/types'
import { useProject } from '@/hooks/live'
import { useMachineState } from '@/hooks/machine'
import { Button } from '@/ui/button'
import { CONTROL } from '@/ui/field'
import { cx } from '@/util/class'
import { resultText } from '../tool-words'
import { Answered, AskedForm, isOver } from './asked'

export function QuestionRow({ row, sessionId }: { row: ToolRow; sessionId: string }) {
  const input = row.input ?? {}
  const question =
    row.question?.question ?? (typeof input.question === 'string' ? input.question : '')
  const options =
    row.question?.options ?? (Array.isArray(input.options) ? input.options.map(String) : [])

  if (isOver(row)) {
    const given = row.state === 'done'
    return (
      <Answered question={question} given={given}>
        <span className="whitespace-pre-wrap">
          {given ? resultText(row.result) : 'Not answered.'}
        </span>
      </Answered>
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

  const submit = async () => {
    if (!answer) return
    setBusy(true)
    setError(null)
    try {
      await live.bridge.answer(sessionId, callId, answer)
    } catch (cause) {
      setError(`The answer was not taken: ${wordsOf(cause)}`)
      setBusy(false)
    }
  }

  return (
    <AskedForm question={question} disabled={closed} error={error} onSubmit={() => void submit()}>
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
      {closed && (
        <p className="mt-2 text-sm text-ink-3">It can be answered when the machine runs.</p>
      )}
    </AskedForm>
  )
}
