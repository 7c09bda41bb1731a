// Name, e-mail, password.
import { useQueryClient } from '@tanstack/react-query'
import { useState, type FormEvent } from 'react'
import { wordsOf } from '@/api/http'
import { server } from '@/api/server'
import type { Me, User } from '@/api/types'
import { toast } from '@/ui/toasts'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Field, Input } from '@/ui/field'

/** The shortest password that the form sends; the server has the last word. */
const PASSWORD_CHARS_MIN = 8

type Change = Parameters<typeof server.updateMe>[0]

function useSave(done: string) {
  const client = useQueryClient()
  const [error, setError] = useState<string | null>(null)
  const [busy, setBusy] = useState(false)
  const save = async (change: Change): Promise<boolean> => {
    setBusy(true)
    setError(null)
    try {
      const { user } = await server.updateMe(change)
      client.setQueryData<Me>(queries.me.queryKey, (me) => (me ? { ...me, user } : me))
      toast.success(done)
      return true
    } catch (cause) {
      setError(wordsOf(cause))
      return false
    } finally {
      setBusy(false)
    }
  }
  return { save, error, busy }
}

export function Profile({ user }: { user: User }) {
  return (
    <div className="flex flex-col gap-6">
      <Names key={`${user.name}:${user.email}`} user={user} />
      <Password user={user} />
    </div>
  )
}

function Names({ user }: { user: User }) {
  const [name, setName] = useState(user.name)
  const [email, setEmail] = useState(user.email ?? '')
  const { save, error, busy } = useSave('Saved')
  const changed = name !== user.name || email !== (user.email ?? '')
  const submit = (event: FormEvent) => {
    event.preventDefault()
    void save({
      ...(name === user.name ? {} : { name: name.trim() }),
      ...(email === (user.email ?? '') ? {} : { email: email.trim() }),
    })
  }
  return (
    <form onSubmit={submit} className="flex max-w-96 flex-col gap-2">
      <Field label="Name">
        {(ids) => (
          <Input {...ids} required value={name} onChange={(e) => setName(e.target.value)} />
        )}
      </Field>
      <Field label="E-mail" note="You sign in with it." error={error}>
        {(ids) => (
          <Input
            {...ids}
            type="email"
            autoComplete="email"
            value={email}
            onChange={(e) => setEmail(e.target.value)}
          />
        )}
      </Field>
      <div>
        <Button type="submit" disabled={!changed || busy}>
          Save
        </Button>
      </div>
    </form>
  )
}

function Password({ user }: { user: User }) {
  const [current, setCurrent] = useState('')
  const [password, setPassword] = useState('')
  const { save, error, busy } = useSave(user.hasPassword ? 'Password changed' : 'Password set')
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    const saved = await save({
      password,
      ...(user.hasPassword ? { currentPassword: current } : {}),
    })
    if (saved) {
      setCurrent('')
      setPassword('')
    }
  }
  return (
    <form onSubmit={(event) => void submit(event)} className="flex max-w-96 flex-col gap-2">
      {!user.hasPassword && (
        <p className="text-pretty text-ink-2">
          You have no password yet: without one, only a link from <code>toft up</code> lets you in.
        </p>
      )}
      {user.hasPassword && (
        <Field label="Current password">
          {(ids) => (
            <Input
              {...ids}
              type="password"
              autoComplete="current-password"
              required
              value={current}
              onChange={(e) => setCurrent(e.target.value)}
            />
          )}
        </Field>
      )}
      <Field
        label={user.hasPassword ? 'New password' : 'Password'}
        note={`At least ${PASSWORD_CHARS_MIN} characters.`}
        error={error}
      >
        {(ids) => (
          <Input
            {...ids}
            type="password"
            autoComplete="new-password"
            required
            minLength={PASSWORD_CHARS_MIN}
            value={password}
            onChange={(e) => setPassword(e.target.value)}
          />
        )}
      </Field>
      <div>
        <Button type="submit" disabled={busy || password.length < PASSWORD_CHARS_MIN}>
          {user.hasPassword ? 'Change password' : 'Set password'}
        </Button>
      </div>
    </form>
  )
}
