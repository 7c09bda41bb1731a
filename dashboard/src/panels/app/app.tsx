// A running app in a frame, on its own origin: it can neither read this page nor call the agent.
import { useQuery } from '@tanstack/react-query'
import { useCallback, useEffect, useRef, useState } from 'react'
import { wordsOf } from '@/api/http'
import { server } from '@/api/server'
import { MachineAsleep, MachineStopped } from '@/components/machine-gate'
import type { PanelProps } from '@/hooks/dock'
import { useEvents, useProject } from '@/hooks/live'
import { useMayAsk } from '@/hooks/machine'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Failure, Skeleton } from '@/ui/state'
import { toast } from '@/ui/toasts'
import { AddressBar } from './address-bar'

/** Several reloads asked for at once are one. */
const RELOAD_AFTER_MS = 150

type Frame =
  | { state: 'idle' }
  | { state: 'opening' }
  | { state: 'open'; url: string; origin: string; load: number }
  | { state: 'failed'; error: string }

export function AppPanel({ params, setParams, setTitle }: PanelProps<'app'>) {
  const { id, live } = useProject()
  const { isPending, alive, closed, may, want } = useMayAsk()
  const { data: agent } = useQuery(queries.state(id))
  const [frame, setFrame] = useState<Frame>({ state: 'idle' })
  const shown = useRef<unknown>(null)
  const port = params.port ?? null
  const shownPort = port ?? agent?.appPort ?? null

  useEffect(() => {
    setTitle(params.title ?? (shownPort === null ? 'App' : `App :${shownPort}`))
  }, [params.title, shownPort, setTitle])

  const load = useCallback(async () => {
    setFrame((before) => (before.state === 'open' ? before : { state: 'opening' }))
    try {
      const { url } = await server.preview(id, port)
      const { origin } = new URL(url)
      setFrame((before) => ({
        state: 'open',
        url,
        origin,
        load: before.state === 'open' ? before.load + 1 : 1,
      }))
    } catch (error) {
      setFrame({ state: 'failed', error: wordsOf(error) })
    }
  }, [id, port])

  // A machine that sleeps is woken by a person, not by a layout that was put back.
  // One that was frozen meanwhile goes on as it was: its app is not loaded anew.
  useEffect(() => {
    if (may && shown.current !== load) {
      shown.current = load
      // oxlint-disable-next-line react/set-state-in-effect -- opening is the effect of the machine running
      void load()
    } else if (!alive && !may) shown.current = null
  }, [may, alive, load])

  useReload(live, port, load)

  const outside = async () => {
    // Opened at once: a window that opens after an answer counts as unasked for.
    const tab = window.open('about:blank', '_blank')
    try {
      const { url } = await server.preview(id, port)
      if (tab) {
        tab.opener = null
        tab.location.href = url
      }
    } catch (error) {
      tab?.close()
      toast.error('The app could not be opened', wordsOf(error))
    }
  }

  return (
    <>
      <AddressBar
        key={shownPort}
        port={shownPort}
        origin={frame.state === 'open' ? frame.origin : null}
        onGo={(nextPort, path) => {
          if (nextPort !== null && nextPort !== shownPort) setParams({ port: nextPort })
          else if (frame.state === 'open') {
            setFrame({ ...frame, url: frame.origin + path, load: frame.load + 1 })
          } else void load()
        }}
        onReload={() => void load()}
        onOutside={() => void outside()}
      />
      <div className="relative min-h-0 grow">
        {closed ? (
          <MachineStopped>What the app has stored is kept.</MachineStopped>
        ) : frame.state === 'open' ? (
          <iframe
            key={frame.load}
            src={frame.url}
            title={params.title ?? 'App'}
            // On an origin of its own: "same origin" is the app's, never this page's.
            // oxlint-disable-next-line react/iframe-missing-sandbox
            sandbox="allow-scripts allow-same-origin allow-forms allow-popups"
            allow="clipboard-write"
            referrerPolicy="no-referrer"
            className="absolute inset-0 size-full border-0 bg-[white]"
          />
        ) : frame.state === 'failed' ? (
          <Failure
            title="The app could not be opened"
            message={frame.error}
            action={<Button onClick={() => void load()}>Try again</Button>}
          />
        ) : frame.state === 'idle' && !isPending && !may ? (
          <MachineAsleep onWake={want}>Opening the app wakes it.</MachineAsleep>
        ) : (
          <Skeleton className="p-4" words="Opening the app…" />
        )}
      </div>
    </>
  )
}

/** Reloads when the agent asks for it, or when the app moves to another port. */
function useReload(
  live: ReturnType<typeof useProject>['live'],
  port: number | null,
  load: () => Promise<void>,
): void {
  const [asked, setAsked] = useState(0)
  useEvents(live, (event) => {
    if (event.seq <= live.newsAfter) return
    const reload =
      (event.kind === 'notify' && event.data.refreshIframe) ||
      (event.kind === 'app_port' && port === null)
    if (reload) setAsked((n) => n + 1)
  })
  useEffect(() => {
    if (asked === 0) return
    const timer = setTimeout(() => void load(), RELOAD_AFTER_MS)
    return () => clearTimeout(timer)
  }, [asked, load])
}
