// A running app in a frame, on its own origin: it can neither read this page nor call the agent.
import { useQuery } from '@tanstack/react-query'
import { useCallback, useEffect, useState, type FormEvent } from 'react'
import { wordsOf } from '@/api/http'
import { server } from '@/api/server'
import { toast } from '@/components/toasts'
import type { PanelProps } from '@/hooks/dock'
import { useEvents, useProject } from '@/hooks/live'
import { useMachineActions } from '@/hooks/machine'
import { queries } from '@/hooks/queries'
import { Button, IconButton } from '@/ui/button'
import { Empty, Failure, Skeleton } from '@/ui/state'

/** Several reloads asked for at once are one. */
const RELOAD_AFTER_MS = 150

type Frame =
  | { state: 'idle' }
  | { state: 'opening' }
  | { state: 'open'; url: string; origin: string; load: number }
  | { state: 'failed'; error: string }

export function AppPanel({ params, setParams, setTitle }: PanelProps<'app'>) {
  const { id, live } = useProject()
  const { data: machine, isPending } = useQuery(queries.machine(id))
  const { data: agent } = useQuery(queries.state(id))
  const { start } = useMachineActions(id)
  const [frame, setFrame] = useState<Frame>({ state: 'idle' })
  const [wanted, setWanted] = useState(false)
  const port = params.port ?? null
  const shownPort = port ?? agent?.appPort ?? null
  const running = machine?.state === 'running' || machine?.state === 'frozen'
  const stopped = machine?.state === 'stopped' || machine?.state === 'error'

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
  useEffect(() => {
    // oxlint-disable-next-line react/set-state-in-effect -- opening is the effect of the machine running
    if (running || wanted) void load()
  }, [running, wanted, load])

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
        {stopped ? (
          <Empty
            title="The machine is stopped"
            action={
              <Button variant="primary" disabled={start.isPending} onClick={() => start.mutate()}>
                {start.isPending ? 'Starting…' : 'Start'}
              </Button>
            }
          >
            The app comes back when it runs.
          </Empty>
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
        ) : frame.state === 'idle' && !isPending && !running ? (
          <Empty
            title="The machine sleeps"
            action={
              <Button variant="primary" onClick={() => setWanted(true)}>
                Wake and open
              </Button>
            }
          >
            Opening the app wakes it.
          </Empty>
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

function AddressBar({
  port,
  origin,
  onGo,
  onReload,
  onOutside,
}: {
  port: number | null
  origin: string | null
  onGo: (port: number | null, path: string) => void
  onReload: () => void
  onOutside: () => void
}) {
  const [text, setText] = useState(port === null ? '' : `:${port}/`)
  const submit = (event: FormEvent) => {
    event.preventDefault()
    const parts = /^\s*:?(\d{1,5})?(\/.*)?$/.exec(text)
    if (!parts) return
    onGo(parts[1] ? Number(parts[1]) : null, parts[2]?.trim() || '/')
  }
  return (
    <form
      onSubmit={submit}
      className="flex h-8 shrink-0 items-center gap-0.5 border-b px-1 max-md:h-11"
    >
      <IconButton icon="reload" label="Reload" onClick={onReload} />
      <input
        value={text}
        onChange={(event) => setText(event.target.value)}
        onFocus={(event) => event.target.select()}
        aria-label="Port and path"
        placeholder=":3000/"
        spellCheck={false}
        title={origin ?? undefined}
        className="h-6 min-w-0 grow rounded-md bg-sunk px-2 font-mono text-sm max-md:h-9"
      />
      <IconButton icon="open" label="Open outside" onClick={onOutside} />
    </form>
  )
}
