// The home page is the open palette: projects and actions, nothing else.
import { useQuery } from '@tanstack/react-query'
import { Link, useSearch } from '@tanstack/react-router'
import { useEffect } from 'react'
import { Palette } from '@/components/palette'
import { toast } from '@/ui/toasts'
import { queries } from '@/hooks/queries'
import { usePalette } from '@/stores/palette'
import { Mark } from '@/ui/mark'
import { Empty } from '@/ui/state'

/** The home page is drawn first; then what the next step needs comes. */
const WARM_AFTER_MS = 400

/** Loads the parts of a project's page ahead, so that opening one shows no empty page. */
function useWarmWorkspace() {
  useEffect(() => {
    const timer = setTimeout(() => {
      const parts = [
        import('@/pages/workspace/workspace'),
        import('@/pages/workspace/dock'),
        import('@/panels/chat/chat'),
      ]
      // What cannot be loaded now is asked for again when it is needed, and complains there.
      void Promise.allSettled(parts)
    }, WARM_AFTER_MS)
    return () => clearTimeout(timer)
  }, [])
}

export function Home() {
  const { signIn } = useSearch({ from: '/' })
  const { data: me } = useQuery(queries.me)
  const { error, data: projects } = useQuery(queries.projects)
  const floating = usePalette((state) => state.open)

  useWarmWorkspace()
  useEffect(() => {
    document.title = 'Toft'
  }, [])
  useEffect(() => {
    if (signIn === 'expired') {
      toast.info('That sign-in link was used before', 'You are signed in already.')
    }
  }, [signIn])

  return (
    <main className="flex h-full flex-col overflow-hidden">
      <header className="flex h-12 shrink-0 items-center gap-2 px-4 text-ink-2">
        <Mark size={18} className="text-moss-text" />
        <h1 className="font-semibold text-ink">Toft</h1>
        {error && projects && (
          <span role="status" className="ml-auto text-sm text-amber-text">
            Not connected. This is what was last known.
          </span>
        )}
      </header>
      <div className="flex min-h-0 grow flex-col items-center px-4 pt-[6vh] pb-6 max-md:px-2 max-md:pt-0">
        <div
          // While the floating palette asks for a name, this one is only the ground beneath.
          data-home=""
          inert={floating}
          className="flex min-h-0 w-full max-w-[620px] flex-col overflow-hidden rounded-lg border bg-surface"
        >
          <Palette
            floating={false}
            empty={
              <div className="py-6">
                <Empty title="No projects yet">
                  Type a name above and press Enter. The project gets a Linux machine and an agent
                  of its own.
                </Empty>
              </div>
            }
          />
        </div>
        {me?.server.demoOnly && <DemoNotice />}
      </div>
      {me && (
        <footer className="flex h-9 shrink-0 items-center gap-3 px-4 text-sm text-ink-3">
          <span className="truncate">{me.user.email ?? me.user.name}</span>
          <span className="ml-auto truncate">{me.server.host}</span>
          <span className="tnum shrink-0">Toft {me.server.version}</span>
        </footer>
      )}
    </main>
  )
}

function DemoNotice() {
  return (
    <div className="mt-3 flex w-full max-w-[620px] items-start gap-2.5 px-4 text-ink-2">
      <span
        className="mt-1 size-2 shrink-0 rounded-full border-2 border-amber"
        aria-hidden="true"
      />
      <p className="text-pretty">
        No model key is set, so the agent runs the <b className="font-semibold">demo</b>: a scripted
        model that drives the real machine and tools.{' '}
        <Link to="/settings" hash="providers" className="text-blue underline underline-offset-2">
          Add a key
        </Link>{' '}
        to work with a real one.
      </p>
    </div>
  )
}
