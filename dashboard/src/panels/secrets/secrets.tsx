// The project's secrets by name: set, replaced, deleted. No value ever comes here.
import { useQuery } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { wordsOf } from '@/api/http'
import type { SecretList } from '@/api/secrets'
import { useOpenPanel, type PanelProps } from '@/hooks/dock'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { useServices } from '@/hooks/services'
import { Button } from '@/ui/button'
import { Empty, Failure, Skeleton, Strip } from '@/ui/state'
import { plural } from '@/util/format'
import { SecretForm } from './secret-form'
import { SecretRow } from './secret-row'

/** What is being set; `''` is a new one. */
type Setting = string | null

export function SecretsPanel({ params, setTitle }: PanelProps<'secrets'>) {
  const { id } = useProject()
  const { data, error, isPending, refetch } = useQuery(queries.secrets(id))
  const { data: me } = useQuery(queries.me)
  const [setting, setSetting] = useState<Setting>(params.name ?? null)
  const [asked, setAsked] = useState(params.name)
  if (asked !== params.name) {
    setAsked(params.name)
    if (params.name) setSetting(params.name)
  }
  useEffect(() => setTitle('Secrets'), [setTitle])
  const canChange = me?.user.role !== 'viewer'

  if (isPending) return <Skeleton className="p-4" words="Reading the names…" />
  if (!data) {
    return (
      <Failure
        title="The secrets could not be read"
        message={wordsOf(error)}
        kept="They are kept, and the machine has them."
        action={<Button onClick={() => void refetch()}>Try again</Button>}
      />
    )
  }
  return (
    <>
      {data.secrets.length === 0 ? (
        <Empty
          title="No secrets yet"
          action={
            canChange && (
              <Button variant="primary" icon="add" onClick={() => setSetting('')}>
                Add a secret
              </Button>
            )
          }
        >
          A key or password by a name. Programs in the machine find it in their environment; the
          agent knows the name alone. Keys of model providers belong into the settings: they never
          enter a machine.
        </Empty>
      ) : (
        <Listed list={data} canChange={canChange} onSet={setSetting} />
      )}
      {setting !== null && canChange && (
        <SecretForm
          key={setting}
          name={setting || null}
          taken={data.secrets}
          onClose={() => setSetting(null)}
        />
      )}
    </>
  )
}

function Listed({
  list: { secrets, inForce },
  canChange,
  onSet,
}: {
  list: SecretList
  canChange: boolean
  onSet: (name: string) => void
}) {
  const { services } = useServices()
  const open = useOpenPanel()
  const behind = services.filter((service) => service.process?.restartToApply)
  const set = secrets.filter((secret) => secret.state === 'set').length
  return (
    <>
      {inForce === false && (
        <Strip tone="amber">
          The machine still has older values: it could not be told yet. Toft goes on trying.
        </Strip>
      )}
      {behind.length > 0 && (
        <Strip
          tone="amber"
          action={<Button onClick={() => open({ kind: 'services' })}>Open services</Button>}
        >
          {plural(behind.length, 'service')} {behind.length === 1 ? 'was' : 'were'} started with
          older values: restart to apply.
        </Strip>
      )}
      <div className="flex h-10 shrink-0 items-center gap-2 border-b pr-2 pl-3 max-md:h-12">
        <span className="grow text-ink-2">
          {plural(set, 'secret')} set
          {secrets.length > set && `, ${secrets.length - set} without a value`}
        </span>
        {canChange && (
          <Button icon="add" onClick={() => onSet('')}>
            Add
          </Button>
        )}
      </div>
      <div className="min-h-0 grow overflow-y-auto">
        <ul className="divide-y divide-line border-b">
          {secrets.map((secret) => (
            <SecretRow
              key={secret.name}
              secret={secret}
              canChange={canChange}
              onSet={() => onSet(secret.name)}
            />
          ))}
        </ul>
      </div>
    </>
  )
}
