// Which model answers. The scripted one always says that it is one.
import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { Command } from 'cmdk'
import { useState } from 'react'
import { wordsOf } from '@/api/http'
import type { ModelInfo, ModelList } from '@/api/types'
import { queries } from '@/hooks/queries'
import { Icon } from '@/ui/icons'
import { Popover } from '@/ui/popover'
import { count } from '@/util/format'

const ITEM =
  'flex h-8 items-center gap-2 rounded-md px-2 select-none data-[selected=true]:bg-hover max-md:h-11'

export function ModelPicker({
  model,
  disabled = false,
  inDialog = false,
  onPick,
}: {
  /** Null: the one that answers where nobody chose. */
  model: { provider: string; id: string; demo?: boolean } | null
  disabled?: boolean
  inDialog?: boolean
  onPick: (change: { provider: string; modelId: string }) => void
}) {
  const [open, setOpen] = useState(false)
  const { data: models, error } = useQuery(queries.models)
  const current = model ?? models?.default ?? null
  const info = models?.models.find((m) => m.provider === current?.provider && m.id === current.id)
  const demo = info?.demo ?? model?.demo ?? current?.provider === 'demo'
  const name = demo ? 'Demo, scripted' : (info?.name ?? current?.id ?? 'Model')

  return (
    <Popover
      label="Model"
      side="top"
      modal={inDialog}
      open={open}
      onOpenChange={setOpen}
      className="flex w-80 flex-col"
      trigger={
        <button
          type="button"
          disabled={disabled}
          title={current ? `${current.provider} / ${current.id}` : 'Model'}
          className="flex h-7 min-w-0 items-center gap-1 rounded-md px-1.5 text-sm text-ink-2 hover:bg-hover disabled:opacity-45 max-md:h-9"
        >
          {demo && (
            <span
              className="size-2 shrink-0 rounded-full border-2 border-amber"
              aria-hidden="true"
            />
          )}
          <span className="max-w-44 truncate max-md:max-w-28">{name}</span>
          <Icon name="chevronDown" width={12} height={12} className="text-ink-3" />
        </button>
      }
    >
      <Choices
        models={models}
        error={error ? wordsOf(error) : null}
        current={current}
        onPick={(provider, modelId) => {
          setOpen(false)
          onPick({ provider, modelId })
        }}
      />
    </Popover>
  )
}

function Choices({
  models,
  error,
  current,
  onPick,
}: {
  models: ModelList | undefined
  error: string | null
  current: { provider: string; id: string } | null
  onPick: (provider: string, id: string) => void
}) {
  const navigate = useNavigate()
  const [search, setSearch] = useState('')
  const typed = search.trim()
  if (error && !models) return <p className="p-3 text-red-text">{error}</p>
  const real = (models?.providers ?? []).filter((provider) => provider.id !== 'demo')
  const byProvider = new Map<string, ModelInfo[]>()
  for (const model of models?.models ?? []) {
    byProvider.set(model.provider, [...(byProvider.get(model.provider) ?? []), model])
  }
  const providerName = (id: string) =>
    id === 'demo'
      ? 'Demo, scripted: no key needed'
      : (models?.providers.find((p) => p.id === id)?.name ?? id)
  return (
    <Command label="Models" loop className="flex min-h-0 flex-col">
      <Command.Input
        value={search}
        onValueChange={setSearch}
        placeholder="Find a model, or type its id"
        className="h-9 shrink-0 border-b bg-transparent px-3 outline-none"
      />
      <Command.List className="max-h-72 overflow-y-auto p-1 [&_[cmdk-group-heading]]:px-2 [&_[cmdk-group-heading]]:pt-1.5 [&_[cmdk-group-heading]]:pb-0.5 [&_[cmdk-group-heading]]:text-sm [&_[cmdk-group-heading]]:text-ink-3">
        {[...byProvider].map(([provider, list]) => (
          <Command.Group key={provider} heading={providerName(provider)}>
            {list.map((model) => (
              <Command.Item
                key={model.id}
                value={`${model.provider}/${model.id} ${model.name}`}
                onSelect={() => onPick(model.provider, model.id)}
                className={ITEM}
              >
                <Icon
                  name="check"
                  className={
                    model.provider === current?.provider && model.id === current.id
                      ? 'text-moss-text'
                      : 'invisible'
                  }
                />
                <span className="truncate">{model.name}</span>
                {!model.demo && (
                  <span className="tnum ml-auto shrink-0 text-sm text-ink-3">
                    {count(model.contextWindow)}
                  </span>
                )}
              </Command.Item>
            ))}
          </Command.Group>
        ))}
        {typed &&
          real.map((provider) => (
            <Command.Item
              key={provider.id}
              value={`use ${provider.id} ${typed}`}
              forceMount
              onSelect={() => onPick(provider.id, typed)}
              className={ITEM}
            >
              <Icon name="add" className="text-ink-3" />
              <span className="truncate">
                <span className="font-mono text-sm">{typed}</span> from {provider.name}
              </span>
            </Command.Item>
          ))}
      </Command.List>
      {real.length === 0 && (
        <button
          type="button"
          onClick={() => void navigate({ to: '/settings', hash: 'providers' })}
          className="flex h-9 shrink-0 items-center gap-2 border-t px-3 text-left text-blue hover:bg-hover"
        >
          <Icon name="key" />
          Add a key to use a real model
        </button>
      )}
    </Command>
  )
}
