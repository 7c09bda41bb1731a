// Where a person writes. Enter sends, Shift+Enter begins a line; while the agent works a text waits in
// the queue, steers, or stops it.
import { useLayoutEffect, useRef, type KeyboardEvent } from 'react'
import type { Transcript } from '@/api/transcript/types'
import { useMachineState } from '@/hooks/machine'
import { useDrafts } from '@/stores/drafts'
import { Button } from '@/ui/button'
import { Hint } from '@/ui/tooltip'
import { matches } from '@/util/keys'
import type { ChatActions } from './chat-actions'
import { ModelPicker } from './model-picker'
import { ModePicker } from './mode-picker'
import { QueueList } from './queue-list'
import { useSkillChoice } from './skill-list'
import { ThinkingPicker } from './thinking-picker'
import { TodoList } from './todo-list'

/** The field grows up to this, then scrolls. */
const HEIGHT_MAX_PX = 240

export function Composer({
  actions,
  transcript,
  working = false,
  draft,
}: {
  actions: ChatActions
  transcript: Transcript | null
  working?: boolean
  draft: string
}) {
  const { closed } = useMachineState()
  const text = useDrafts((state) => state.drafts[draft] ?? '')
  const field = useRef<HTMLTextAreaElement>(null)
  const waiting = transcript?.status === 'waiting' && !closed
  const busy = working || waiting
  const decides = transcript?.rows.some((row) => row.kind === 'plan' && row.state === 'proposed')
  const typed = text.trim()
  const again = actions.error?.again
  const ready = typed !== '' && !actions.busy && !closed

  const skills = useSkillChoice(text, actions.setDraft)

  useLayoutEffect(() => {
    const element = field.current
    if (!element) return
    element.style.height = 'auto'
    element.style.height = `${Math.min(HEIGHT_MAX_PX, element.scrollHeight)}px`
  }, [text])

  const send = () => {
    if (ready) void actions.send(typed)
  }
  const onKeyDown = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (event.nativeEvent.isComposing || skills.onKey(event)) return
    if (matches(event.nativeEvent, 'mod+shift+enter')) {
      event.preventDefault()
      if (ready) void (busy ? actions.steer(typed) : actions.send(typed))
    } else if (event.key === 'Enter' && !event.shiftKey && !event.altKey) {
      event.preventDefault()
      send()
    } else if (event.key === 'Escape' && working && !typed) {
      event.preventDefault()
      void actions.stop()
    }
  }

  return (
    <div className="mx-auto w-full max-w-[700px] shrink-0 px-3 pb-3 max-md:px-2 max-md:pb-[max(8px,env(safe-area-inset-bottom))]">
      {transcript && <TodoList transcript={transcript} working={working} />}
      {transcript && <QueueList transcript={transcript} actions={actions} />}
      {actions.error && (
        <div
          role="alert"
          className="appear mb-1.5 flex items-baseline gap-2 px-2 text-sm text-red-text"
        >
          <span className="min-w-0 break-words">{actions.error.words} Your text is kept.</span>
          <span className="ml-auto flex shrink-0 gap-3">
            {again && ready && (
              <button
                type="button"
                className="underline"
                onClick={() => void actions[again](typed)}
              >
                Send again
              </button>
            )}
            <button type="button" className="underline" onClick={actions.clearError}>
              Hide
            </button>
          </span>
        </div>
      )}
      <div className="rounded-lg border bg-surface has-[textarea:focus-visible]:border-moss">
        {skills.list}
        <textarea
          ref={field}
          {...skills.ids}
          rows={1}
          value={text}
          disabled={closed}
          onChange={(event) => actions.setDraft(event.target.value)}
          onKeyDown={onKeyDown}
          aria-label="Message to the agent"
          placeholder={
            closed
              ? 'The machine is stopped'
              : waiting
                ? transcript?.question?.secrets?.length
                  ? 'Fill in the form above. What you write here, the agent reads'
                  : 'Answer above, or write something else'
                : working
                  ? 'Write what comes next'
                  : decides
                    ? 'Decide on the plan above, or say what should be different'
                    : transcript?.mode === 'plan'
                      ? 'Say what to plan'
                      : 'Ask, or say what to build'
          }
          className="block w-full resize-none bg-transparent px-3 pt-2.5 pb-1 text-md outline-none"
        />
        <div className="flex min-h-9 items-center gap-0.5 pr-1.5 pb-1 pl-1.5 max-md:min-h-11">
          <ModelPicker
            model={transcript?.model ?? null}
            disabled={closed}
            onPick={(change) => void actions.configure(change)}
          />
          <ThinkingPicker transcript={transcript} disabled={closed} onPick={actions.configure} />
          <ModePicker transcript={transcript} disabled={closed} onPick={actions.setMode} />
          <div className="ml-auto flex items-center gap-1">
            {busy && (
              <Hint
                text={typed ? 'Stop, then send what is typed' : 'Stop the agent and all it runs'}
                keys="Escape"
              >
                <Button
                  disabled={actions.busy}
                  onClick={() => void actions.stop(typed || undefined)}
                >
                  {typed ? 'Stop and send' : 'Stop'}
                </Button>
              </Hint>
            )}
            {busy && typed && (
              <Hint text="Deliver after the tools that run now" keys="mod+shift+enter">
                <Button disabled={!ready} onClick={() => void actions.steer(typed)}>
                  Steer
                </Button>
              </Hint>
            )}
            <Hint text={busy ? 'Deliver when the agent is done' : 'Send'} keys="enter">
              <Button
                variant={busy && !typed ? 'plain' : 'primary'}
                disabled={!ready}
                onClick={send}
              >
                {actions.busy ? 'Sending…' : busy ? 'Queue' : 'Send'}
              </Button>
            </Hint>
          </div>
        </div>
      </div>
    </div>
  )
}
