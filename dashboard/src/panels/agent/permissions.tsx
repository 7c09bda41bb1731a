// What the agent may do by itself: rules in their order. None: all of it.
import { useState } from 'react'
import type { Rule, RuleAction } from '@/api/bridge-types'
import { wordsOf } from '@/api/http'
import { useAgentConfig } from '@/hooks/agent-config'
import { Button, IconButton } from '@/ui/button'
import { Glyph, type Shape, type Tone } from '@/ui/glyph'
import { Menu } from '@/ui/menu'
import { cx } from '@/util/class'
import { Part } from './part'
import { NEW_RULE, RuleForm } from './rule-form'
import { ACTIONS, PRESETS, ruleWords, shadowedBy } from './rule-words'

const LOOKS: Record<RuleAction, { shape: Shape; tone: Tone }> = {
  ask: { shape: 'ask', tone: 'amber' },
  deny: { shape: 'cross', tone: 'red' },
  allow: { shape: 'tick', tone: 'moss' },
}

export function Permissions({
  rules,
  ...rest
}: {
  /** Null: not known, which is not none. */
  rules: readonly Rule[] | null
  tools: readonly string[]
  readOnly: boolean
}) {
  return (
    <Part
      anchor="permissions"
      title="Permissions"
      note="What it may do without asking. The first rule that fits a call counts; Deny wins where one call does several things."
    >
      {rules === null ? (
        <p className="text-ink-2">Its rules are read from the machine when it runs.</p>
      ) : (
        <Rules rules={rules} {...rest} />
      )}
    </Part>
  )
}

function Rules({
  rules: kept,
  tools,
  readOnly,
}: {
  rules: readonly Rule[]
  tools: readonly string[]
  readOnly: boolean
}) {
  const save = useAgentConfig()
  /** The place that is being changed; behind the last one a new rule. */
  const [editing, setEditing] = useState<number | null>(null)
  const rules = (save.isPending ? save.variables.rules : undefined) ?? kept
  const error = save.error ? `The rules were not changed: ${wordsOf(save.error)}` : null
  const put = (next: readonly Rule[], done?: () => void) =>
    save.mutate({ rules: [...next] }, { onSuccess: () => done?.() })

  const form = (at: number, rule: Rule) => (
    <RuleForm
      rule={rule}
      tools={tools}
      busy={save.isPending}
      error={error}
      onSave={(next) =>
        put(at < rules.length ? rules.with(at, next) : [...rules, next], () => setEditing(null))
      }
      onCancel={() => {
        save.reset()
        setEditing(null)
      }}
    />
  )
  return (
    <>
      <ol aria-label="Rules" className="divide-y divide-line border-y">
        {rules.map((rule, at) => (
          <li
            // Two rules may say the same: the place tells them apart.
            // oxlint-disable-next-line react/no-array-index-key
            key={at}
            aria-label={ruleWords(rule)}
          >
            {editing === at ? (
              form(at, rule)
            ) : (
              <RuleLine
                rule={rule}
                shadow={rules[shadowedBy(rules, at) ?? -1] ?? null}
                readOnly={readOnly}
                busy={save.isPending}
                onChange={() => {
                  save.reset()
                  setEditing(at)
                }}
                onRemove={() => put(rules.toSpliced(at, 1))}
                {...(at > 0
                  ? { onUp: () => put(rules.toSpliced(at - 1, 2, rule, rules[at - 1] as Rule)) }
                  : {})}
              />
            )}
          </li>
        ))}
        {editing === rules.length && <li>{form(rules.length, NEW_RULE)}</li>}
        <li className="flex min-h-9 items-center gap-2 px-1 text-ink-3 max-md:min-h-11">
          <Glyph shape="tick" tone="quiet" />
          <span className="w-11 shrink-0">Allow</span>
          <span>{rules.length === 0 ? 'everything' : 'everything else'}</span>
        </li>
      </ol>
      {error && editing === null && (
        <p role="alert" className="mt-2 text-sm break-words text-red-text">
          {error}
        </p>
      )}
      {!readOnly && editing === null && (
        <div className="mt-3">
          <Menu
            items={[
              ...PRESETS.map(({ label, rules: more }) => ({
                label,
                onSelect: () => put([...rules, ...more]),
              })),
              null,
              {
                label: 'Another rule…',
                onSelect: () => {
                  save.reset()
                  setEditing(rules.length)
                },
              },
            ]}
          >
            <Button icon="add" disabled={save.isPending}>
              Add a rule
            </Button>
          </Menu>
        </div>
      )}
    </>
  )
}

function RuleLine({
  rule,
  shadow,
  readOnly,
  busy,
  onChange,
  onRemove,
  onUp,
}: {
  rule: Rule
  /** The rule above that fits all that this one does. */
  shadow: Rule | null
  readOnly: boolean
  busy: boolean
  onChange: () => void
  onRemove: () => void
  onUp?: () => void
}) {
  const { shape, tone } = LOOKS[rule.action]
  const word = ACTIONS.find(({ value }) => value === rule.action)?.label
  const dead = shadow !== null
  return (
    <div className="flex min-h-9 items-start gap-2 py-1 pl-1 max-md:min-h-11">
      <span className="flex h-7 shrink-0 items-center">
        <Glyph shape={shape} tone={dead ? 'quiet' : tone} />
      </span>
      <span className={cx('w-11 shrink-0 pt-1', dead && 'text-ink-3')}>{word}</span>
      <span className="min-w-0 grow pt-1 break-words">
        <code className={cx('text-sm', dead && 'text-ink-3')}>
          {rule.tool === '*' ? 'any tool' : rule.tool}
        </code>
        {rule.argument !== undefined && (
          <>
            {' '}
            <span className="text-ink-3">for</span>{' '}
            <code className={cx('text-sm', dead && 'text-ink-3')}>{rule.argument}</code>
          </>
        )}
        {rule.reason && <span className="block text-sm text-ink-3">{rule.reason}</span>}
        {dead && (
          <span className="block text-sm text-amber-text">
            Never counts: the rule above for <code>{shadow.tool}</code> fits first.
          </span>
        )}
      </span>
      {!readOnly && (
        <span className="flex shrink-0">
          {onUp && <IconButton icon="arrowUp" label="Earlier" disabled={busy} onClick={onUp} />}
          <IconButton icon="edit" label="Change the rule" disabled={busy} onClick={onChange} />
          <IconButton icon="trash" label="Remove the rule" disabled={busy} onClick={onRemove} />
        </span>
      )}
    </div>
  )
}
