// One rule, to be written or changed in its place.
import { useId, useState } from 'react'
import type { Rule } from '@/api/bridge-types'
import { Button } from '@/ui/button'
import { Field, Input, Segments } from '@/ui/field'
import { aboutOf, ACTIONS, ruleWords, tidyRule, TOOLS } from './rule-words'

export const NEW_RULE: Rule = { tool: 'bash', action: 'ask' }

export function RuleForm({
  rule,
  tools,
  busy,
  error,
  onSave,
  onCancel,
}: {
  rule: Rule
  /** Tools of servers and extensions, beside the agent's own. */
  tools: readonly string[]
  busy: boolean
  error: string | null
  onSave: (rule: Rule) => void
  onCancel: () => void
}) {
  const [typed, setTyped] = useState(rule)
  const list = useId()
  const about = aboutOf(typed.tool.trim())
  const tidy = tidyRule(typed)
  return (
    <form
      aria-label="Rule"
      className="flex flex-col gap-3 py-3"
      onSubmit={(event) => {
        event.preventDefault()
        if (tidy.tool && !busy) onSave(tidy)
      }}
    >
      <div>
        <Segments
          label="What is done"
          value={typed.action}
          options={ACTIONS}
          onChange={(action) => setTyped({ ...typed, action })}
        />
      </div>
      <div className="grid grid-cols-[minmax(0,1fr)_minmax(0,2fr)] gap-3 max-sm:grid-cols-1">
        <Field
          label="Tool"
          note="* is any text."
          error={tidy.tool ? null : 'A tool, or * for all.'}
        >
          {(ids) => (
            <>
              <Input
                {...ids}
                mono
                list={list}
                value={typed.tool}
                onChange={(event) => setTyped({ ...typed, tool: event.target.value })}
              />
              <datalist id={list}>
                {[...TOOLS, ...tools].map((tool) => (
                  <option key={tool} value={tool} aria-label={tool} />
                ))}
              </datalist>
            </>
          )}
        </Field>
        <Field
          label={about.label}
          note={
            <>
              Like <code>{about.example}</code>; empty for any.
            </>
          }
        >
          {(ids) => (
            <Input
              {...ids}
              mono
              // The person has just asked to write it.
              // oxlint-disable-next-line jsx-a11y/no-autofocus
              autoFocus
              value={typed.argument ?? ''}
              onChange={(event) => setTyped({ ...typed, argument: event.target.value })}
            />
          )}
        </Field>
      </div>
      <Field label="Reason" note="You read it when you are asked, the agent when it is denied.">
        {(ids) => (
          <Input
            {...ids}
            spellCheck
            value={typed.reason ?? ''}
            onChange={(event) => setTyped({ ...typed, reason: event.target.value })}
          />
        )}
      </Field>
      {tidy.tool && <p className="break-words text-ink-2">{ruleWords(tidy)}.</p>}
      {error && (
        <p role="alert" className="text-sm break-words text-red-text">
          {error}
        </p>
      )}
      <div className="flex gap-2">
        <Button type="submit" variant="primary" disabled={!tidy.tool || busy}>
          {busy ? 'Saving…' : 'Save the rule'}
        </Button>
        <Button onClick={onCancel}>Cancel</Button>
      </div>
    </form>
  )
}
