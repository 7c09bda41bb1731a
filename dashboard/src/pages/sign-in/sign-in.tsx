// The way in: e-mail and password, or the link that `toft up` printed.
import { useQueryClient } from '@tanstack/react-query'
import { useEffect, useState, type FormEvent } from 'react'
import { wordsOf } from '@/api/http'
import { server } from '@/api/server'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Field, Input } from '@/ui/field'
import { Mark } from '@/ui/mark'

export function SignIn() {
  const client = useQueryClient()
  const [email, setEmail] = useState('')
  const [password, setPassword] = useState('')
  const [error, setError] = useState<string | null>(null)
  const [busy, setBusy] = useState(false)
  const expired = new URLSearchParams(location.search).get('signIn') === 'expired'

  useEffect(() => {
    document.title = 'Sign in · Toft'
  }, [])

  const submit = async (event: FormEvent) => {
    event.preventDefault()
    setBusy(true)
    setError(null)
    try {
      await server.signIn(email.trim(), password)
      await client.resetQueries({ queryKey: queries.me.queryKey })
    } catch (cause) {
      setError(wordsOf(cause))
    } finally {
      setBusy(false)
    }
  }

  return (
    <main className="flex h-full items-start justify-center overflow-y-auto px-4 pt-[16vh]">
      <form
        onSubmit={(event) => void submit(event)}
        className="flex w-full max-w-80 flex-col gap-4"
      >
        <div className="flex items-center gap-2.5">
          <Mark size={24} className="text-moss-text" />
          <h1 className="text-xl font-semibold">Sign in to Toft</h1>
        </div>
        {expired && (
          <div role="alert" className="rounded-md bg-amber-soft px-3 py-2 text-amber-text">
            This sign-in link was used before or is too old. Run <code>toft up</code> again for a
            new one, or sign in here.
          </div>
        )}
        <Field label="E-mail">
          {(ids) => (
            <Input
              {...ids}
              type="email"
              name="email"
              autoComplete="username"
              required
              value={email}
              onChange={(event) => setEmail(event.target.value)}
            />
          )}
        </Field>
        <Field label="Password" error={error}>
          {(ids) => (
            <Input
              {...ids}
              type="password"
              name="password"
              autoComplete="current-password"
              required
              value={password}
              onChange={(event) => setPassword(event.target.value)}
            />
          )}
        </Field>
        <Button type="submit" variant="primary" disabled={busy} className="h-8">
          {busy ? 'Signing in…' : 'Sign in'}
        </Button>
        <p className="border-t pt-4 text-pretty text-ink-2">
          First time here? The first admin signs in with the link that <code>toft up</code> printed
          in its terminal, and sets a password in Settings.
        </p>
      </form>
    </main>
  )
}
