// Folders of the project that add to its agent: hooks, tools, servers, words in the prompt.
import type { UseQueryResult } from '@tanstack/react-query'
import type { Extension } from '@/api/bridge-types'
import { Ticked } from '@/components/ticked'
import { useAskAgent } from '@/hooks/ask-agent'
import { useOpenPanel } from '@/hooks/dock'
import { Button } from '@/ui/button'
import { Glyph } from '@/ui/glyph'
import { plural } from '@/util/format'
import { Listing, type Gate } from './listing'
import { Part } from './part'

export function Extensions({ query, gate }: { query: UseQueryResult<Extension[]>; gate: Gate }) {
  return (
    <Part
      anchor="extensions"
      title="Extensions"
      note={
        <>
          Folders in <code>.toft/extensions</code>, whose programs see and change what the agent
          does. They run in the machine, with no more rights than it has.
        </>
      }
    >
      <Listing what="extensions" query={query} gate={gate}>
        {(list) => <ExtensionRows list={list} />}
      </Listing>
    </Part>
  )
}

function ExtensionRows({ list }: { list: readonly Extension[] }) {
  const ask = useAskAgent()
  const open = useOpenPanel()
  if (list.length === 0) {
    return (
      <div className="flex flex-wrap items-center gap-2">
        <span className="text-ink-2">None in this project.</span>
        <Button icon="chat" onClick={() => ask('Write an extension into .toft/extensions that ')}>
          Ask the agent for one
        </Button>
      </div>
    )
  }
  return (
    <ul aria-label="Extensions" className="divide-y divide-line border-y">
      {list.map((extension) => (
        <li key={extension.folder} className="flex items-start gap-2 py-1.5 pl-1">
          <span className="flex h-5 shrink-0 items-center">
            <ExtensionGlyph extension={extension} />
          </span>
          <div className="min-w-0 grow">
            <div className="flex flex-wrap items-baseline gap-x-2">
              <button
                type="button"
                className="font-mono text-sm font-medium break-all hover:underline"
                onClick={() => open({ kind: 'files', path: extension.folder })}
              >
                {extension.name}
              </button>
              <span className="text-sm text-ink-3">{partsOf(extension)}</span>
            </div>
            {extension.description && (
              <p className="text-sm break-words text-ink-2">{extension.description}</p>
            )}
            {extension.fault && (
              <p className="text-sm break-words text-red-text">
                <Ticked text={extension.fault} />
              </p>
            )}
          </div>
        </li>
      ))}
    </ul>
  )
}

function ExtensionGlyph({ extension: { fault, disabled } }: { extension: Extension }) {
  if (fault !== null) return <Glyph shape="cross" tone="red" title="not used" />
  return disabled ? (
    <Glyph shape="square" tone="quiet" title="switched off" />
  ) : (
    <Glyph shape="disc" tone="moss" title="in use" />
  )
}

function partsOf({ disabled, hooks, tools, servers, systemPrompt, fault }: Extension): string {
  if (fault !== null) return 'not used'
  return [
    disabled ? 'switched off' : null,
    hooks.length > 0 ? `hooks: ${hooks.map(({ event }) => event).join(', ')}` : null,
    tools.length > 0 ? plural(tools.length, 'tool') : null,
    servers.length > 0 ? plural(servers.length, 'server') : null,
    systemPrompt ? 'words in the prompt' : null,
  ]
    .filter((part) => part !== null)
    .join(' · ')
}
