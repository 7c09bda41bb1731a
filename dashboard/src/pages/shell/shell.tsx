// Around every page: who is signed in, the palette, the shortcuts, the toasts.
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Outlet } from '@tanstack/react-router'
import { useEffect } from 'react'
import { ApiError, whenSignedOut, wordsOf } from '@/api/http'
import { PaletteDialog } from '@/components/palette-dialog'
import { Toasts } from '@/ui/toasts'
import { useShortcuts } from '@/hooks/commands'
import { queries } from '@/hooks/queries'
import { SignIn } from '@/pages/sign-in/sign-in'
import { Button } from '@/ui/button'
import { Failure, Skeleton } from '@/ui/state'
import { HintProvider } from '@/ui/tooltip'
import { GlobalCommands } from './global-commands'
import { useFrameFocus } from './frame-focus'

export function Shell() {
  useShortcuts()
  useFrameFocus()
  return (
    <HintProvider>
      <Gate />
      <Toasts />
    </HintProvider>
  )
}

/** Lets the signed-in through; shows the others the way in. */
function Gate() {
  const client = useQueryClient()
  const { data: me, error, refetch, isFetching } = useQuery(queries.me)

  useEffect(() => {
    whenSignedOut(() => {
      const { queryKey } = queries.me
      // Only who was signed in is asked anew: the answer to that question is a 401 itself.
      if (client.getQueryData(queryKey)) void client.resetQueries({ queryKey, exact: true })
    })
  }, [client])

  if (error instanceof ApiError && error.status === 401) return <SignIn />
  if (!me && error) {
    return (
      <main className="h-full">
        <Failure
          title="Toft cannot be reached"
          message={wordsOf(error)}
          kept="Projects and conversations are on the machine that runs it; nothing is lost."
          action={
            <Button disabled={isFetching} onClick={() => void refetch()}>
              Try again
            </Button>
          }
        />
      </main>
    )
  }
  if (!me) {
    return (
      <main className="mx-auto max-w-[620px] px-6 pt-[18vh]">
        <Skeleton words="Waiting for the server…" />
      </main>
    )
  }
  return (
    <>
      <GlobalCommands />
      <Outlet />
      <PaletteDialog />
    </>
  )
}
