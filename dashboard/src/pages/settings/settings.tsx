// Settings: you, the models and their keys, how it looks, what this host can do.
import { useQuery } from '@tanstack/react-query'
import { Link, useLocation, useRouter } from '@tanstack/react-router'
import { useEffect, type ReactNode } from 'react'
import { runById } from '@/hooks/commands'
import { queries } from '@/hooks/queries'
import { CommandsButton } from '@/components/commands-button'
import { HomeLink } from '@/components/home-link'
import { Button } from '@/ui/button'
import { Strip } from '@/ui/state'
import { ApiKeys } from './api-keys'
import { Appearance } from './appearance'
import { Defaults } from './defaults'
import { FallbackChains } from './fallbacks'
import { Host } from './host'
import { Profile } from './profile'
import { Providers } from './providers'
import { UsageOfAll } from './usage'

const SECTIONS = [
  { id: 'profile', name: 'You' },
  { id: 'providers', name: 'Providers' },
  { id: 'defaults', name: 'Default model' },
  { id: 'fallbacks', name: 'Fallbacks' },
  { id: 'cost', name: 'Cost' },
  { id: 'api-keys', name: 'API keys' },
  { id: 'appearance', name: 'Appearance' },
  { id: 'host', name: 'This host' },
] as const

export function SettingsPage() {
  const router = useRouter()
  const { data: me } = useQuery(queries.me)
  const admin = me?.user.role === 'admin'

  const hash = useLocation({ select: (location) => location.hash })
  const { isSuccess: settled } = useQuery(queries.providers)

  useEffect(() => {
    document.title = 'Settings · Toft'
  }, [])
  // What a link asks for lies where it should only once what is above it has come.
  useEffect(() => {
    if (settled && hash) document.getElementById(hash)?.scrollIntoView()
  }, [settled, hash])

  return (
    <div className="flex h-full flex-col">
      <header className="flex h-10 shrink-0 items-center gap-1 border-b px-2 max-md:h-12">
        <HomeLink />
        <h1 className="px-1.5 font-semibold">Settings</h1>
        <div className="grow" />
        <Button variant="ghost" onClick={() => router.history.back()}>
          Back
        </Button>
        <CommandsButton />
      </header>
      {me && !admin && (
        <Strip>You are a member: keys, default model and host are for admins to change.</Strip>
      )}
      <div className="relative min-h-0 grow overflow-y-auto">
        <div className="mx-auto flex max-w-[920px] gap-10 px-6 py-8 max-md:px-4 max-md:py-5">
          <nav
            aria-label="Sections"
            className="sticky top-8 w-32 shrink-0 self-start max-md:hidden"
          >
            <ul className="flex flex-col gap-0.5">
              {SECTIONS.map((section) => (
                <li key={section.id}>
                  <Link
                    to="/settings"
                    hash={section.id}
                    className="flex h-7 items-center rounded-md px-2 text-ink-2 hover:bg-hover hover:text-ink"
                  >
                    {section.name}
                  </Link>
                </li>
              ))}
            </ul>
          </nav>
          <main className="flex min-w-0 grow flex-col gap-10">
            <Part id="profile" title="You">
              {me && <Profile user={me.user} />}
            </Part>
            <Part
              id="providers"
              title="Providers"
              note="Keys are stored encrypted on this host and used outside the machines. No machine can read them."
            >
              <Providers admin={admin} />
            </Part>
            <Part
              id="defaults"
              title="Default model"
              note="For new sessions. A session may choose another at any time."
            >
              <Defaults admin={admin} />
            </Part>
            <Part
              id="fallbacks"
              title="Fallbacks"
              note="Models that are asked in another's place while its provider is down or overloaded. The answer says who gave it."
            >
              <FallbackChains admin={admin} />
            </Part>
            <Part
              id="cost"
              title="Cost"
              note="What was asked of models, by all projects and by programs outside."
            >
              <UsageOfAll admin={admin} />
            </Part>
            <Part
              id="api-keys"
              title="API keys"
              note="For programs outside: each opens what it is made for, and can be taken back."
            >
              <ApiKeys admin={admin} />
            </Part>
            <Part id="appearance" title="Appearance">
              <Appearance />
            </Part>
            <Part
              id="host"
              title="This host"
              note="What is really enforced around machines here, as measured, not as hoped."
            >
              <Host />
            </Part>
            <div className="border-t pt-4">
              <Button onClick={() => runById('auth.signOut')}>Sign out</Button>
            </div>
          </main>
        </div>
      </div>
    </div>
  )
}

function Part({
  id,
  title,
  note,
  children,
}: {
  id: string
  title: string
  note?: string
  children: ReactNode
}) {
  return (
    <section id={id} aria-labelledby={`${id}-title`} className="scroll-mt-6">
      <h2 id={`${id}-title`} className="text-lg font-semibold">
        {title}
      </h2>
      {note && <p className="max-w-[64ch] text-pretty text-ink-3">{note}</p>}
      <div className="mt-3">{children}</div>
    </section>
  )
}
