// What happened in the project, in words, and what runs in the background.
import { useState } from 'react'
import type { PanelProps } from '@/hooks/dock'
import { Segments } from '@/ui/field'
import { EventList } from './event-list'
import { ProcessList } from './process-list'

type Tab = 'events' | 'processes'

export function LogPanel({ params }: PanelProps<'log'>) {
  const [tab, setTab] = useState<Tab>(params.processId ? 'processes' : 'events')
  const [filter, setFilter] = useState('')
  return (
    <>
      <div className="flex h-10 shrink-0 items-center gap-2 border-b px-2 max-md:h-12">
        <Segments
          label="What to show"
          value={tab}
          options={[
            { value: 'events', label: 'Events' },
            { value: 'processes', label: 'Processes' },
          ]}
          onChange={setTab}
        />
        <input
          value={filter}
          onChange={(event) => setFilter(event.target.value)}
          aria-label="Filter"
          placeholder="Filter"
          className="h-7 min-w-0 grow rounded-md bg-sunk px-2 max-md:h-9"
        />
      </div>
      {tab === 'events' ? (
        <EventList filter={filter} />
      ) : (
        <ProcessList filter={filter} chosen={params.processId ?? null} />
      )}
    </>
  )
}
