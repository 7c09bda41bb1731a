// The project's own check, which runs when a plan was carried out.
import { useState } from 'react'
import { wordsOf } from '@/api/http'
import { useAgentConfig } from '@/hooks/agent-config'
import { Button } from '@/ui/button'
import { Field, Input } from '@/ui/field'
import { Switch } from '@/ui/switch'
import { toast } from '@/ui/toasts'
import { Part } from './part'

export function Check({
  auto,
  command,
  readOnly,
}: {
  auto: boolean
  /** Null: found in the project. */
  command: string | null
  readOnly: boolean
}) {
  const save = useAgentConfig()
  const isOn = (save.isPending ? save.variables.autoCheck : undefined) ?? auto
  return (
    <Part
      anchor="check"
      title="Check after a build"
      note="When an approved plan was carried out, the project’s own check is run. If it fails, the agent mends what it shows, twice at most."
    >
      <div className="flex items-center gap-2">
        <Switch
          label="Run the check"
          on={isOn}
          disabled={readOnly || save.isPending}
          onChange={(on) =>
            save.mutate(
              { autoCheck: on },
              { onError: (error) => toast.error('It was not changed', wordsOf(error)) },
            )
          }
        />
        <span>{isOn ? 'Runs by itself' : 'Does not run'}</span>
      </div>
      {isOn && <CommandForm key={command ?? ''} command={command ?? ''} readOnly={readOnly} />}
    </Part>
  )
}

function CommandForm({ command, readOnly }: { command: string; readOnly: boolean }) {
  const save = useAgentConfig()
  const [typed, setTyped] = useState(command)
  const changed = typed.trim() !== command
  return (
    <form
      className="mt-2 flex items-start gap-2"
      onSubmit={(event) => {
        event.preventDefault()
        if (changed && !save.isPending) save.mutate({ checkCommand: typed.trim() })
      }}
    >
      <div className="min-w-0 grow">
        <Field
          label="Command"
          note="Empty: found in the project, from its Makefile, package.json, Cargo.toml, go.mod or pyproject.toml."
          error={save.error ? `It was not set: ${wordsOf(save.error)}` : null}
        >
          {(ids) => (
            <Input
              {...ids}
              mono
              disabled={readOnly}
              value={typed}
              placeholder="found in the project"
              onChange={(event) => {
                save.reset()
                setTyped(event.target.value)
              }}
            />
          )}
        </Field>
      </div>
      {changed && (
        <span className="pt-6">
          <Button type="submit" variant="primary" className="h-8" disabled={save.isPending}>
            {save.isPending ? 'Setting…' : 'Set'}
          </Button>
        </span>
      )}
    </form>
  )
}
