// What `toft doctor` finds: each ability, whether it is in force, how, and what to do about it.
import { useQuery } from '@tanstack/react-query'
import { Fragment } from 'react'
import { wordsOf } from '@/api/http'
import type { Ability } from '@/api/types'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Glyph } from '@/ui/glyph'
import { Failure, Skeleton } from '@/ui/state'
import { capital } from '@/util/format'

export function Host() {
  const { data, error, isPending, refetch } = useQuery(queries.doctor)
  if (isPending) return <Skeleton widths={[90, 80, 95, 70]} words="Probing the host…" />
  if (error && !data) {
    return (
      <Failure
        compact
        title="The host could not be probed"
        message={wordsOf(error)}
        action={<Button onClick={() => void refetch()}>Try again</Button>}
      />
    )
  }
  if (!data) return null
  return (
    <>
      {data.backends.map(({ name, abilities, storage, problem }) => (
        <section key={name} aria-label={`Backend ${name}`} className="mb-3">
          {data.backends.length > 1 && (
            <h3 className="mb-1 font-semibold">
              {capital(name)}
              {storage && <span className="font-normal text-ink-3">, {storage}</span>}
            </h3>
          )}
          {problem && <p className="break-words text-amber-text">{problem}</p>}
          {abilities.length > 0 && <Abilities abilities={abilities} />}
        </section>
      ))}
      <dl className="mt-3 grid grid-cols-[104px_1fr] gap-y-1">
        <dt className="text-ink-3">Version</dt>
        <dd className="tnum">{data.version}</dd>
        <dt className="text-ink-3">Data folder</dt>
        <dd className="font-mono text-sm break-all">{data.dataDir}</dd>
        <dt className="text-ink-3">Storage</dt>
        <dd>{data.storage}</dd>
        {data.traces.map((sink) => (
          <Fragment key={sink.sink}>
            <dt className="text-ink-3">Traces</dt>
            <dd className="min-w-0 break-words">
              {sink.endpoint}: <span className="tnum">{sink.spansAccepted}</span> spans taken
              {sink.problem && <div className="text-amber-text">{sink.problem.message}</div>}
            </dd>
          </Fragment>
        ))}
      </dl>
    </>
  )
}

function Abilities({ abilities }: { abilities: readonly Ability[] }) {
  return (
    <ul className="divide-y divide-line border-y">
      {abilities.map((ability) => (
        <li key={ability.name} className="grid grid-cols-[12px_1fr] gap-x-3 py-2">
          <span className="mt-1">
            <Glyph
              shape={ability.enforced ? 'tick' : 'cross'}
              tone={ability.enforced ? 'moss' : 'amber'}
            />
          </span>
          <div className="min-w-0">
            <span className="font-medium">{capital(ability.name)}</span>
            <span className="text-ink-3">{ability.enforced ? ', enforced' : ', not enforced'}</span>
            <div className="break-words text-ink-2">{ability.how}</div>
            {!ability.enforced && ability.remedy && (
              <div className="break-words text-amber-text">{ability.remedy}</div>
            )}
          </div>
        </li>
      ))}
    </ul>
  )
}
