// The live project for the panels below, and what they look at in it.
import { createContext, use, useEffect, useRef, useState, useSyncExternalStore } from 'react'
import type { BridgeEvent } from '@/api/events'
import type { LiveProject, SessionView } from '@/api/live/project'
import type { Connection } from '@/api/live/line'

export interface ProjectScope {
  id: string
  name: string
  live: LiveProject
}

export const ProjectContext = createContext<ProjectScope | null>(null)

/** The project that this panel belongs to. */
export function useProject(): ProjectScope {
  const scope = use(ProjectContext)
  if (!scope) throw new Error('a panel was drawn outside a project')
  return scope
}

/** A conversation, kept current. */
export function useSession(id: string): SessionView {
  const session = useProject().live.session(id)
  return useSyncExternalStore(session.subscribe, session.get)
}

export function useConnection(live: LiveProject): Connection {
  return useSyncExternalStore(live.subscribe, () => live.connection)
}

type EventOf<K extends BridgeEvent['kind']> = Extract<BridgeEvent, { kind: K }>

/** The same list where there is none to add. */
function newest<K extends BridgeEvent['kind']>(
  before: EventOf<K>[],
  events: readonly BridgeEvent[],
  kind: K,
  count: number,
): EventOf<K>[] {
  const last = before.at(-1)?.seq ?? 0
  const more = events.filter(
    (event): event is EventOf<K> => event.kind === kind && event.seq > last,
  )
  return more.length === 0 ? before : [...before, ...more].slice(-count)
}

/** The last events of one kind that this page knows of, oldest first. */
export function useLatest<K extends BridgeEvent['kind']>(kind: K, count: number): EventOf<K>[] {
  const { live } = useProject()
  const [latest, setLatest] = useState(() => newest<K>([], live.recent, kind, count))
  useEffect(() => {
    const add = (events: readonly BridgeEvent[]) =>
      setLatest((before) => newest(before, events, kind, count))
    // What came between drawing and listening is among the recent ones.
    add(live.recent)
    return live.tap(add)
  }, [live, kind, count])
  return latest
}

/** Calls back with each event as it comes. */
export function useEvents(live: LiveProject, onEvent: (event: BridgeEvent) => void): void {
  const latest = useRef(onEvent)
  useEffect(() => {
    latest.current = onEvent
  })
  useEffect(() => live.tap((events) => events.forEach((event) => latest.current(event))), [live])
}
