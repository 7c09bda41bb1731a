// What people set for the project's agent, and what the project adds to it: one place for all of it.
import { useQuery } from '@tanstack/react-query'
import { useEffect, useRef } from 'react'
import type { AgentState } from '@/api/bridge-types'
import { wordsOf } from '@/api/http'
import type { PanelProps } from '@/hooks/dock'
import { useProject } from '@/hooks/live'
import { useMayAsk } from '@/hooks/machine'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Failure, Skeleton, Strip } from '@/ui/state'
import { Check } from './check'
import { Extensions } from './extensions'
import { Permissions } from './permissions'
import { PromptLimitsPart } from './prompt-limits'
import { Servers } from './servers'
import { Skills } from './skills'

const PARTS = [
  { anchor: 'permissions', label: 'Permissions' },
  { anchor: 'limits', label: 'Limits' },
  { anchor: 'check', label: 'Check' },
  { anchor: 'skills', label: 'Skills' },
  { anchor: 'tools', label: 'Tools' },
  { anchor: 'extensions', label: 'Extensions' },
] as const

export function AgentPanel({ params, setTitle }: PanelProps<'agent'>) {
  const { id } = useProject()
  const { data: state, error, isPending, refetch } = useQuery(queries.state(id))
  useEffect(() => setTitle('Agent'), [setTitle])

  if (isPending) return <Skeleton className="p-4" words="Reading how the agent is set…" />
  if (!state) {
    return (
      <Failure
        title="How the agent is set could not be read"
        message={wordsOf(error)}
        kept="What was set holds all the same."
        action={<Button onClick={() => void refetch()}>Try again</Button>}
      />
    )
  }
  return <Opened state={state} part={params.part} />
}

function Opened({ state, part }: { state: AgentState; part: string | undefined }) {
  const { id } = useProject()
  const { data: me } = useQuery(queries.me)
  const { may, running, closed, want } = useMayAsk()
  const enabled = may
  const skills = useQuery({ ...queries.skills(id), enabled })
  const servers = useQuery({ ...queries.mcp(id), enabled })
  const extensions = useQuery({ ...queries.extensions(id), enabled })
  const scroller = useRef<HTMLDivElement>(null)
  const isViewer = me?.user.role === 'viewer'
  const readOnly = isViewer || closed
  const gate = { may, closed, want }
  const tools = [
    ...(servers.data?.servers.flatMap((server) => server.tools.map((tool) => tool.calledAs)) ?? []),
    ...(extensions.data?.flatMap((extension) => extension.tools.map((tool) => tool.name)) ?? []),
  ]

  const show = (anchor: string) =>
    scroller.current?.querySelector(`[data-part="${anchor}"]`)?.scrollIntoView({ block: 'start' })
  useEffect(() => {
    if (part) show(part)
  }, [part])

  return (
    <>
      <nav
        aria-label="Parts of the panel"
        className="flex h-8 shrink-0 items-center gap-0.5 overflow-x-auto border-b px-3 max-md:h-11 max-md:px-2"
      >
        {PARTS.map(({ anchor, label }) => (
          <button
            key={anchor}
            type="button"
            onClick={() => show(anchor)}
            className="h-6 shrink-0 rounded-md px-2 text-ink-2 hover:bg-hover hover:text-ink max-md:h-9"
          >
            {label}
          </button>
        ))}
      </nav>
      {closed && (
        <Strip>The machine is stopped: this held last. Start it to change something.</Strip>
      )}
      {!closed && isViewer && <Strip>You can look at this. A member changes it.</Strip>}
      <div ref={scroller} className="min-h-0 grow overflow-y-auto">
        <div className="mx-auto max-w-160 px-5 py-4 max-md:px-4">
          <Permissions rules={state.rules ?? null} tools={tools} readOnly={readOnly} />
          <PromptLimitsPart limits={state.limits ?? {}} readOnly={readOnly} />
          <Check
            auto={state.autoCheck ?? true}
            command={state.checkCommand ?? null}
            readOnly={readOnly}
          />
          <Skills query={skills} gate={gate} />
          <Servers query={servers} gate={gate} readOnly={readOnly || !running} />
          <Extensions query={extensions} gate={gate} />
        </div>
      </div>
    </>
  )
}
