// What a new key is for, what it opens, and until when.
import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { wordsOf } from '@/api/http'
import { apiKeys, type Scope } from '@/api/keys'
import type { Project } from '@/api/types'
import { CONTROL, Field, Input, Segments } from '@/ui/field'
import { FormDialog } from '@/ui/form-dialog'

/** What a person chooses; `both` are the scopes for a tool that looks and asks models. */
type Opens = 'models' | 'read' | 'both' | 'admin'

const OPENS: Record<Opens, { label: string; scopes: Scope[]; note: string }> = {
  models: { label: 'Models', scopes: ['models'], note: 'Model calls below /llm, nothing else.' },
  read: { label: 'Looking', scopes: ['read'], note: 'Everything can be read, nothing changed.' },
  both: { label: 'Both', scopes: ['models', 'read'], note: 'Model calls, and reading everything.' },
  admin: { label: 'Everything', scopes: ['admin'], note: 'As an admin, of every project.' },
}

const DAY_MS = 24 * 3600 * 1000
const ENDS = [
  { value: '30', label: 'After 30 days' },
  { value: '90', label: 'After 90 days' },
  { value: '365', label: 'After a year' },
  { value: '', label: 'Never' },
]

export function NewKeyDialog({
  projects,
  onMade,
  onClose,
}: {
  projects: readonly Project[]
  onMade: (made: { name: string; key: string }) => void
  onClose: () => void
}) {
  const [name, setName] = useState('')
  const [opens, setOpens] = useState<Opens>('models')
  const [project, setProject] = useState('')
  const [days, setDays] = useState('90')
  const bound = opens === 'admin' ? '' : project
  const make = useMutation({
    mutationFn: () =>
      apiKeys.create({
        name: name.trim(),
        scopes: OPENS[opens].scopes,
        ...(bound ? { project: bound } : {}),
        ...(days ? { expiresAt: Date.now() + Number(days) * DAY_MS } : {}),
      }),
    onSuccess: onMade,
  })
  return (
    <FormDialog
      title="New key"
      note="For one program, so that it can be taken back alone."
      verb="Make the key"
      doing="Making…"
      busy={make.isPending}
      disabled={!name.trim()}
      onSubmit={() => make.mutate()}
      onClose={onClose}
    >
      <Field label="Name" error={make.error ? wordsOf(make.error) : null}>
        {(ids) => (
          <Input
            {...ids}
            required
            maxLength={100}
            placeholder="Nightly build"
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
        )}
      </Field>
      <div className="flex flex-col gap-1">
        <span className="text-sm font-medium text-ink-2">Opens</span>
        <div>
          <Segments
            label="Opens"
            value={opens}
            options={(Object.keys(OPENS) as Opens[]).map((value) => ({
              value,
              label: OPENS[value].label,
            }))}
            onChange={setOpens}
          />
        </div>
        <span className="text-sm text-ink-3">{OPENS[opens].note}</span>
      </div>
      <Field
        label="Project"
        note={
          opens === 'admin'
            ? 'A key for everything belongs to no project.'
            : 'With a project it opens nothing of others, and its model calls are booked there.'
        }
      >
        {(ids) => (
          <select
            {...ids}
            className={CONTROL}
            disabled={opens === 'admin'}
            value={bound}
            onChange={(event) => setProject(event.target.value)}
          >
            <option value="">All of them</option>
            {projects.map((each) => (
              <option key={each.id} value={each.id}>
                {each.name}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field label="Ends">
        {(ids) => (
          <select
            {...ids}
            className={CONTROL}
            value={days}
            onChange={(event) => setDays(event.target.value)}
          >
            {ENDS.map((end) => (
              <option key={end.value} value={end.value}>
                {end.label}
              </option>
            ))}
          </select>
        )}
      </Field>
    </FormDialog>
  )
}
