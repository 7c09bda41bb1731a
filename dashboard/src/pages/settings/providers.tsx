// Providers and their keys: which have one, where it comes from, whether it works.
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState, type FormEvent } from 'react'
import { wordsOf } from '@/api/http'
import { server } from '@/api/server'
import type { Provider } from '@/api/types'
import { toast } from '@/ui/toasts'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Confirm } from '@/ui/dialog'
import { Input } from '@/ui/field'
import { Glyph } from '@/ui/glyph'
import { Failure, Skeleton } from '@/ui/state'
import { Switch } from '@/ui/switch'
import { cx } from '@/util/class'
import { plural } from '@/util/format'

/** A file of keys that is changed while this is looked at is seen soon. */
const followed = { refetchInterval: 3000 }

export function Providers({ admin }: { admin: boolean }) {
  const { data, error, isPending, refetch } = useQuery({ ...queries.providers, ...followed })
  const { data: file } = useQuery({ ...queries.keysFile, ...followed })
  const { data: models } = useQuery({ ...queries.modelsFile, ...followed })
  if (isPending) return <Skeleton widths={[100, 100, 100]} words="Reading the providers…" />
  if (error && !data) {
    return (
      <Failure
        compact
        title="The providers could not be read"
        message={wordsOf(error)}
        action={<Button onClick={() => void refetch()}>Try again</Button>}
      />
    )
  }
  const shown = (data ?? []).filter((provider) => provider.id !== 'demo')
  return (
    <>
      {file?.problem && (
        <div className="mb-3">
          <Failure
            compact
            title="The file of keys cannot be read as it is now"
            message={file.problem}
            kept={file.path ? 'The keys that were read from it before count on.' : undefined}
          />
        </div>
      )}
      {models?.problem && (
        <div className="mb-3">
          <Failure
            compact
            title="The file of models cannot be read as it is now"
            message={models.problem}
            kept="What was read from it before counts on."
          />
        </div>
      )}
      <ul className="divide-y divide-line border-y">
        {shown
          .toSorted(
            (a, b) => Number(b.configured) - Number(a.configured) || a.name.localeCompare(b.name),
          )
          .map((provider) => (
            <ProviderRow key={provider.id} provider={provider} admin={admin} />
          ))}
      </ul>
      <LocalModels admin={admin} />
    </>
  )
}

/** Whether servers of models of this machine are looked for. */
function LocalModels({ admin }: { admin: boolean }) {
  const client = useQueryClient()
  const { data: settings } = useQuery(queries.settings)
  const change = useMutation({
    mutationFn: (on: boolean) => server.updateSettings({ localModels: on }),
    onSuccess: (changed) => {
      client.setQueryData(queries.settings.queryKey, changed)
      void client.invalidateQueries({ queryKey: queries.providers.queryKey })
      void client.invalidateQueries({ queryKey: queries.models.queryKey })
      void client.invalidateQueries({ queryKey: queries.me.queryKey })
    },
    onError: (error) => toast.error('The setting was not saved', wordsOf(error)),
  })
  if (!settings) return null
  return (
    <div className="mt-3 flex items-center gap-3">
      <Switch
        label="Look for models on the server’s machine"
        on={settings.localModels}
        disabled={!admin || change.isPending}
        onChange={(next) => change.mutate(next)}
      />
      <span>Look for models on the server’s machine</span>
      <span className="text-ink-3">Ollama, LM Studio, vLLM, llama.cpp</span>
    </div>
  )
}

function ProviderRow({ provider, admin }: { provider: Provider; admin: boolean }) {
  const client = useQueryClient()
  const [editing, setEditing] = useState(false)
  const [removing, setRemoving] = useState(false)
  const refresh = () => {
    void client.invalidateQueries({ queryKey: queries.providers.queryKey })
    void client.invalidateQueries({ queryKey: queries.models.queryKey })
    void client.invalidateQueries({ queryKey: queries.me.queryKey })
  }
  // Whether a server of this machine is there is found out by it too.
  const test = useMutation({
    mutationFn: () => server.testProvider(provider.id),
    onSuccess: () => provider.local && refresh(),
  })
  const remove = useMutation({
    mutationFn: () => server.removeKey(provider.id),
    onSuccess: refresh,
    onError: (error) => toast.error('The key was not removed', wordsOf(error)),
  })

  return (
    <li className="py-2">
      <div className="flex min-h-8 items-center gap-3">
        <Glyph
          shape={provider.configured ? 'disc' : provider.problem ? 'cross' : 'ring'}
          tone={provider.configured ? 'moss' : provider.problem ? 'red' : 'quiet'}
        />
        <div className="flex min-w-0 items-baseline gap-x-3 max-md:flex-col">
          <span className="font-medium">{provider.name}</span>
          <span
            className={cx('min-w-0 break-words', provider.problem ? 'text-red-text' : 'text-ink-3')}
          >
            <Source provider={provider} />
            {provider.configured && provider.models > 0 && `, ${plural(provider.models, 'model')}`}
          </span>
        </div>
        <div className="ml-auto flex shrink-0 gap-1">
          {(provider.configured || provider.local) && (
            <Button disabled={test.isPending} onClick={() => test.mutate()}>
              {test.isPending ? 'Testing…' : 'Test'}
            </Button>
          )}
          {admin && !editing && (
            <Button
              variant={provider.configured || provider.keyless ? 'ghost' : 'plain'}
              onClick={() => setEditing(true)}
            >
              {provider.source === 'settings'
                ? 'Replace'
                : provider.configured && provider.source
                  ? 'Override'
                  : 'Add key'}
            </Button>
          )}
          {admin && provider.source === 'settings' && (
            <Button variant="ghost" disabled={remove.isPending} onClick={() => setRemoving(true)}>
              Remove
            </Button>
          )}
        </div>
      </div>
      {editing && (
        <KeyForm
          provider={provider}
          onDone={(saved) => {
            setEditing(false)
            if (saved) {
              test.reset()
              refresh()
            }
          }}
        />
      )}
      {(test.data ?? test.error) && (
        <TestAnswer
          ok={test.data?.ok ?? false}
          message={test.data?.message ?? wordsOf(test.error)}
          latencyMs={test.data?.latencyMs ?? null}
        />
      )}
      <Confirm
        open={removing}
        title={`Remove the key of ${provider.name}?`}
        touches={
          provider.envVar
            ? `Sessions that use ${provider.name} fail until it has a key again. A key in ${provider.envVar} would take its place.`
            : `Sessions that use ${provider.name} fail until it has a key again.`
        }
        verb="Remove"
        onConfirm={() => remove.mutate()}
        onClose={() => setRemoving(false)}
      />
    </li>
  )
}

/** Where its key comes from, or where one could. */
function Source({ provider }: { provider: Provider }) {
  const { source, envVar, file, keyHint, keyless, problem } = provider
  if (problem) return problem
  const name = envVar && <code className="text-sm">{envVar}</code>
  const key = keyHint ? `key ${keyHint}` : 'key'
  if (source === 'settings') return `${key} set here`
  if (source === 'env' || source === 'file') {
    return (
      <>
        {key} from {name ?? 'the environment'}
        {file && (
          <>
            {' '}
            in <span title={file}>{file.slice(file.lastIndexOf('/') + 1)}</span>
          </>
        )}
      </>
    )
  }
  if (keyless) return provider.local ? `at ${provider.baseUrl}` : 'no key needed'
  return name ? <>no key; {name} is not set</> : 'no key'
}

function TestAnswer({
  ok,
  message,
  latencyMs,
}: {
  ok: boolean
  message: string
  latencyMs: number | null
}) {
  return (
    <div role="status" className="mt-1 ml-6 flex items-baseline gap-2">
      <span className="translate-y-px">
        <Glyph shape={ok ? 'tick' : 'cross'} tone={ok ? 'moss' : 'red'} />
      </span>
      <span className={`min-w-0 break-words ${ok ? 'text-ink-2' : 'text-red-text'}`}>
        {message}
      </span>
      {ok && latencyMs !== null && <span className="tnum text-sm text-ink-3">{latencyMs} ms</span>}
    </div>
  )
}

function KeyForm({ provider, onDone }: { provider: Provider; onDone: (saved: boolean) => void }) {
  const [key, setKey] = useState('')
  const [error, setError] = useState<string | null>(null)
  const [busy, setBusy] = useState(false)
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    setBusy(true)
    setError(null)
    try {
      await server.setKey(provider.id, key.trim())
      onDone(true)
    } catch (cause) {
      setError(wordsOf(cause))
      setBusy(false)
    }
  }
  return (
    <form onSubmit={(event) => void submit(event)} className="mt-1 ml-6">
      <div className="flex gap-2">
        <Input
          mono
          type="password"
          autoComplete="off"
          // The person asked to type a key.
          // oxlint-disable-next-line jsx-a11y/no-autofocus
          autoFocus
          required
          aria-label={`Key of ${provider.name}`}
          aria-invalid={error !== null}
          placeholder="Paste the key"
          value={key}
          onChange={(event) => setKey(event.target.value)}
        />
        <Button type="submit" variant="primary" disabled={busy || !key.trim()} className="h-8">
          Save
        </Button>
        <Button onClick={() => onDone(false)} className="h-8">
          Cancel
        </Button>
      </div>
      {error && (
        <div role="alert" className="mt-1 text-sm text-red-text">
          {error}
        </div>
      )}
    </form>
  )
}
