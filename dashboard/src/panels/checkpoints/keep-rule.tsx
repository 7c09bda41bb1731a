// Which checkpoints are kept, in a sentence; and the numbers behind it.
import { useId, useState } from 'react'
import { wordsOf } from '@/api/http'
import type { CheckpointList } from '@/api/machine-types'
import { ruleWords } from '@/components/checkpoint-words'
import { useCheckpointActions } from '@/hooks/checkpoints'
import { useProject } from '@/hooks/live'
import { Button } from '@/ui/button'
import { Field, Input } from '@/ui/field'
import { Switch } from '@/ui/switch'

export function KeepRuleLine({ list }: { list: CheckpointList }) {
  const [editing, setEditing] = useState(false)
  return (
    <footer className="shrink-0 border-t bg-sunk">
      {editing ? (
        <RuleForm list={list} onDone={() => setEditing(false)} />
      ) : (
        <div className="flex items-start gap-2 py-1.5 pr-1.5 pl-3 text-sm text-ink-2">
          <p className="min-w-0 grow py-1 text-pretty">{ruleWords(list.rule, list.automatic)}</p>
          <Button variant="ghost" onClick={() => setEditing(true)}>
            Change
          </Button>
        </div>
      )}
    </footer>
  )
}

/** What the server takes for each. */
const NUMBER_MAX = 10_000

const NUMBERS = [
  { name: 'last', label: 'The last', unit: 'one by one' },
  { name: 'hourly', label: 'Hours', unit: 'one of each' },
  { name: 'daily', label: 'Days', unit: 'one of each' },
] as const

function RuleForm({ list, onDone }: { list: CheckpointList; onDone: () => void }) {
  const { id } = useProject()
  const { setRule } = useCheckpointActions(id)
  const switchId = useId()
  const [automatic, setAutomatic] = useState(list.automatic)
  const [typed, setTyped] = useState({
    last: String(list.rule.last),
    hourly: String(list.rule.hourly),
    daily: String(list.rule.daily),
  })
  const read = (text: string) => {
    const n = /^\d+$/.test(text.trim()) ? Number(text) : Number.NaN
    return n <= NUMBER_MAX ? n : Number.NaN
  }
  const rule = { last: read(typed.last), hourly: read(typed.hourly), daily: read(typed.daily) }
  const valid = Object.values(rule).every((n) => !Number.isNaN(n))
  return (
    <form
      className="px-3 py-2.5"
      onSubmit={(event) => {
        event.preventDefault()
        if (!valid) return
        // Where none can be taken, the list says so whatever the rule is.
        const change = automatic === list.automatic ? rule : { ...rule, automatic }
        setRule.mutate(change, { onSuccess: onDone })
      }}
    >
      <div className="flex items-center gap-2" id={switchId}>
        <Switch label="Take one before every prompt" on={automatic} onChange={setAutomatic} />
        <span aria-hidden="true">Take one before every prompt</span>
      </div>
      <div className="mt-2 grid grid-cols-3 gap-2">
        {NUMBERS.map(({ name, label, unit }, index) => (
          <Field
            key={name}
            label={label}
            note={unit}
            error={Number.isNaN(rule[name]) ? `0 to ${NUMBER_MAX.toLocaleString('en-US')}` : null}
          >
            {(ids) => (
              <Input
                {...ids}
                // The person asked for this form just now.
                // oxlint-disable-next-line jsx-a11y/no-autofocus
                autoFocus={index === 0}
                inputMode="numeric"
                value={typed[name]}
                onChange={(event) => setTyped({ ...typed, [name]: event.target.value })}
              />
            )}
          </Field>
        ))}
      </div>
      <p className="mt-1 text-sm text-pretty text-ink-2">
        {valid && ruleWords(rule, automatic)}
        {valid && looser(list, rule) && (
          <span className="text-amber-text"> Those beyond it are deleted at once.</span>
        )}
      </p>
      {setRule.error && <p className="mt-1 text-sm text-red-text">{wordsOf(setRule.error)}</p>}
      <div className="mt-2 flex justify-end gap-2">
        <Button onClick={onDone}>Cancel</Button>
        <Button type="submit" variant="primary" disabled={!valid || setRule.isPending}>
          {setRule.isPending ? 'Saving…' : 'Save'}
        </Button>
      </div>
    </form>
  )
}

/** Whether some may go that are kept now. */
function looser({ rule }: CheckpointList, next: CheckpointList['rule']): boolean {
  return next.last < rule.last || next.hourly < rule.hourly || next.daily < rule.daily
}
