// A list that only a running machine can give: asked for while it runs, or when a person says so.
import type { ReactNode } from 'react'
import type { UseQueryResult } from '@tanstack/react-query'
import { wordsOf } from '@/api/http'
import { Ticked } from '@/components/ticked'
import { Button } from '@/ui/button'
import { Failure, Skeleton } from '@/ui/state'

export interface Gate {
  /** Whether the machine may be asked. */
  may: boolean
  /** Only a person brings it back. */
  closed: boolean
  want: () => void
}

export function Listing<T>({
  what,
  query,
  gate,
  children,
}: {
  /** `skills` */
  what: string
  query: UseQueryResult<T>
  gate: Gate
  children: (data: T) => ReactNode
}) {
  const { data, error, isPending, refetch } = query
  if (data !== undefined) return children(data)
  if (!gate.may) {
    return (
      <div className="flex min-h-8 flex-wrap items-center gap-2 text-ink-2">
        <span className="min-w-0">
          {gate.closed
            ? `The machine is stopped: start it to see its ${what}.`
            : `The machine sleeps: its ${what} are read from it.`}
        </span>
        {!gate.closed && <Button onClick={gate.want}>Wake and look</Button>}
      </div>
    )
  }
  if (isPending) return <Skeleton widths={[62, 40]} words={`Reading the ${what}…`} />
  return (
    <Failure
      compact
      title={`The ${what} could not be read`}
      message={wordsOf(error)}
      action={<Button onClick={() => void refetch()}>Try again</Button>}
    />
  )
}

/** What of the project's own files cannot be used, and why. */
export function Faults({
  faults,
  onOpen,
}: {
  faults: readonly { path: string | null; message: string }[]
  onOpen?: (path: string) => void
}) {
  if (faults.length === 0) return null
  return (
    <ul aria-label="Faults" className="mt-2 flex flex-col gap-1.5">
      {faults.map(({ path, message }) => (
        <li
          key={`${path}:${message}`}
          className="rounded-md border border-l-2 border-l-red px-3 py-1.5 text-sm break-words"
        >
          {path !== null &&
            (onOpen ? (
              <button
                type="button"
                className="block max-w-full truncate font-mono text-blue hover:underline"
                onClick={() => onOpen(path)}
              >
                {path}
              </button>
            ) : (
              <code className="block truncate">{path}</code>
            ))}
          <span className="text-red-text">
            <Ticked text={message} />
          </span>
        </li>
      ))}
    </ul>
  )
}
