// A plan to change in place: summary and steps, each with what holds when it is done.
import { useLayoutEffect, useRef } from 'react'
import type { Plan, PlanTodo } from '@/api/bridge-types'
import { Button, IconButton } from '@/ui/button'
import { cx } from '@/util/class'

/** As many as the server takes. */
const STEPS_MAX = 100

export function PlanForm({ plan, onChange }: { plan: Plan; onChange: (plan: Plan) => void }) {
  const { todos } = plan
  const put = (next: PlanTodo[]) => onChange({ ...plan, todos: next })
  const change = (at: number, todo: Partial<PlanTodo>) =>
    put(todos.map((each, place) => (place === at ? { ...each, ...todo } : each)))
  const up = (at: number) => {
    const next = [...todos]
    ;[next[at - 1], next[at]] = [next[at] as PlanTodo, next[at - 1] as PlanTodo]
    put(next)
  }
  return (
    <div className="flex flex-col gap-3">
      <Words
        label="Summary"
        value={plan.summary}
        onChange={(summary) => onChange({ ...plan, summary })}
      />
      <ol className="flex flex-col gap-3">
        {todos.map((todo, at) => (
          <li key={todo.id} className="flex gap-2 max-md:gap-1">
            <span className="tnum w-5 shrink-0 pt-1.5 text-right text-ink-3">{at + 1}.</span>
            <div className="flex min-w-0 grow flex-col gap-1">
              <Words
                label={`Step ${at + 1}`}
                className="font-medium"
                value={todo.title}
                onChange={(title) => change(at, { title: title.replaceAll('\n', ' ') })}
              />
              <Words
                label={`Details of step ${at + 1}`}
                placeholder="Details"
                value={todo.details ?? ''}
                onChange={(details) => change(at, { details })}
              />
              <div className="flex items-baseline gap-2 max-md:flex-col max-md:gap-0.5">
                <span className="w-18 shrink-0 pl-2 text-sm whitespace-nowrap text-ink-3">
                  Done when
                </span>
                <Words
                  label={`Step ${at + 1} is done when`}
                  placeholder="One per line"
                  value={(todo.acceptanceCriteria ?? []).join('\n')}
                  onChange={(lines) => change(at, { acceptanceCriteria: lines.split('\n') })}
                />
              </div>
            </div>
            <span className="flex shrink-0 flex-col">
              <IconButton
                icon="close"
                label={`Drop step ${at + 1}`}
                disabled={todos.length === 1}
                onClick={() => put(todos.filter((_, place) => place !== at))}
              />
              {at > 0 && (
                <IconButton
                  icon="arrowUp"
                  label={`Step ${at + 1} earlier`}
                  onClick={() => up(at)}
                />
              )}
            </span>
          </li>
        ))}
      </ol>
      <Button
        icon="add"
        variant="ghost"
        className="self-start"
        disabled={todos.length >= STEPS_MAX}
        onClick={() => put([...todos, { id: freshId(todos), title: '' }])}
      >
        Add a step
      </Button>
    </div>
  )
}

function freshId(todos: readonly PlanTodo[]): string {
  let number = todos.length + 1
  while (todos.some((todo) => todo.id === String(number))) number += 1
  return String(number)
}

/** A field that is as high as its words. */
function Words({
  label,
  value,
  placeholder,
  className,
  onChange,
}: {
  label: string
  value: string
  placeholder?: string
  className?: string
  onChange: (value: string) => void
}) {
  const field = useRef<HTMLTextAreaElement>(null)
  useLayoutEffect(() => {
    const element = field.current
    if (!element) return
    element.style.height = 'auto'
    element.style.height = `${element.scrollHeight + 2}px`
  }, [value])
  return (
    <textarea
      ref={field}
      rows={1}
      aria-label={label}
      placeholder={placeholder}
      value={value}
      onChange={(event) => onChange(event.target.value)}
      className={cx(
        'block w-full resize-none rounded-md border bg-ground px-2 py-1 hover:border-line-strong focus:border-moss focus:outline-none disabled:opacity-55 max-md:py-2',
        className,
      )}
    />
  )
}
