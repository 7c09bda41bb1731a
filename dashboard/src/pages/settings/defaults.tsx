// What new sessions use.
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { wordsOf } from '@/api/http'
import { server } from '@/api/server'
import { THINKING_LEVELS, type Settings } from '@/api/types'
import { toast } from '@/ui/toasts'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { CONTROL, Field, Segments } from '@/ui/field'
import { Failure, Skeleton } from '@/ui/state'

const LEVELS = THINKING_LEVELS.map((value) => ({
  value,
  label: value === 'xhigh' ? 'Extra high' : value.charAt(0).toUpperCase() + value.slice(1),
}))

export function Defaults({ admin }: { admin: boolean }) {
  const client = useQueryClient()
  const settings = useQuery(queries.settings)
  const models = useQuery(queries.models)
  const save = useMutation({
    mutationFn: (change: Partial<Settings>) => server.updateSettings(change),
    onSuccess: (next) => {
      client.setQueryData(queries.settings.queryKey, next)
      void client.invalidateQueries({ queryKey: queries.models.queryKey })
    },
    onError: (error) => toast.error('It was not saved', wordsOf(error)),
  })
  const error = settings.error ?? models.error
  if (error && !(settings.data && models.data)) {
    return (
      <Failure
        compact
        title="The models could not be read"
        message={wordsOf(error)}
        action={
          <Button
            onClick={() => {
              void settings.refetch()
              void models.refetch()
            }}
          >
            Try again
          </Button>
        }
      />
    )
  }
  if (!settings.data || !models.data) return <Skeleton widths={[60, 80]} />

  const { defaultProvider, defaultModel, defaultThinkingLevel } = settings.data
  const inUse = models.data.default
  const chosen = defaultProvider && defaultModel ? `${defaultProvider}/${defaultModel}` : ''
  const listed = models.data.models.some((m) => `${m.provider}/${m.id}` === chosen)
  const providerName = (id: string) =>
    models.data.providers.find((provider) => provider.id === id)?.name ?? id
  const groups = [...new Set(models.data.models.map((model) => model.provider))]
  const level = LEVELS.find(
    (each) => each.value === (defaultThinkingLevel ?? models.data.defaultThinkingLevel),
  )

  return (
    <div className="flex flex-col gap-4">
      <div className="max-w-96">
        <Field label="Model">
          {(ids) => (
            <select
              {...ids}
              disabled={!admin || save.isPending}
              value={chosen}
              onChange={(event) => {
                const [provider = '', ...id] = event.target.value.split('/')
                save.mutate({
                  defaultProvider: provider || null,
                  defaultModel: id.join('/') || null,
                })
              }}
              className={`${CONTROL} select`}
            >
              <option value="">Best with a key (now {modelName(models.data.models, inUse)})</option>
              {chosen && !listed && <option value={chosen}>{chosen}</option>}
              {groups.map((provider) => (
                <optgroup
                  key={provider}
                  label={
                    provider === 'demo' ? 'Demo, scripted: no key needed' : providerName(provider)
                  }
                >
                  {models.data.models
                    .filter((model) => model.provider === provider)
                    .map((model) => (
                      <option key={model.id} value={`${model.provider}/${model.id}`}>
                        {model.name}
                      </option>
                    ))}
                </optgroup>
              ))}
            </select>
          )}
        </Field>
      </div>
      <div className="flex flex-col gap-1">
        <span className="text-sm font-medium text-ink-2">Thinking</span>
        <div>
          <Segments
            label="Thinking"
            value={level?.value ?? 'off'}
            options={LEVELS}
            disabled={!admin || save.isPending}
            onChange={(value) => save.mutate({ defaultThinkingLevel: value })}
          />
        </div>
      </div>
    </div>
  )
}

function modelName(
  models: readonly { provider: string; id: string; name: string; demo?: boolean }[],
  ref: { provider: string; id: string },
): string {
  const model = models.find((each) => each.provider === ref.provider && each.id === ref.id)
  return model?.demo || ref.provider === 'demo' ? 'the scripted demo' : (model?.name ?? ref.id)
}
