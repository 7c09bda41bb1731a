// Pages for what is not there and for what broke.
import { Link, type ErrorComponentProps } from '@tanstack/react-router'
import { wordsOf } from '@/api/http'
import { Button } from '@/ui/button'
import { Empty, Failure } from '@/ui/state'

export function NotFound() {
  return (
    <main className="h-full">
      <Empty
        title="Nothing is at this address"
        action={
          <Link to="/" className="text-blue underline underline-offset-2">
            All projects
          </Link>
        }
      >
        The link may be old, or the project was deleted.
      </Empty>
    </main>
  )
}

export function PageFailed({ error, reset }: ErrorComponentProps) {
  // After an upgrade an old page asks for chunks that are gone.
  const stale = /dynamically imported module|Importing a module|Failed to fetch/i.test(
    wordsOf(error),
  )
  return (
    <main className="h-full">
      <Failure
        title={stale ? 'Toft was updated or cannot be reached' : 'This page broke'}
        message={wordsOf(error)}
        kept="Your drafts are kept in this browser, everything else on the server."
        action={
          <>
            <Button variant="primary" onClick={() => location.reload()}>
              Reload
            </Button>
            {!stale && <Button onClick={reset}>Try again</Button>}
          </>
        }
      />
    </main>
  )
}
