// What is known of a run: who did it, when, what it took and cost, what was committed.
import type { ReactNode } from 'react'
import { isOver, type Run } from '@/api/runs/types'
import { runCost, runTook } from '@/components/run-words'
import { CopyButton } from '@/ui/copy'
import { Ago } from '@/ui/time'
import { count, duration, momentOf } from '@/util/format'

export function RunFacts({ run, onShow }: { run: Run; onShow: (run: string) => void }) {
  const { provider, model, attempt, maxAttempts, workspaceBackend } = run.meta
  const { parentRunId, commitSha } = run
  const over = isOver(run)
  const took = over ? runTook(run, 0) : null
  const unknown = <span className="text-ink-3">{over ? 'not known' : 'not known yet'}</span>
  const facts: readonly (readonly [string, ReactNode])[] = [
    ['Model', model ? [provider, model].filter(Boolean).join(' / ') : unknown],
    ['Where', workspaceBackend],
    ['Asked for', <Ago key="ago" at={momentOf(run.createdAt)} />],
    ['Took', took === null ? null : duration(took)],
    ['Attempt', attempt > 0 ? `${attempt} of ${maxAttempts}` : null],
    ['Tokens', run.usage ? <Tokens key="tokens" usage={run.usage} /> : unknown],
    ['Cost', runCost(run.cost) ?? unknown],
    ['Commit', commitSha ? <Commit key="commit" sha={commitSha} /> : null],
    [
      'Goes on from',
      parentRunId ? (
        <button
          key="parent"
          type="button"
          className="text-blue hover:underline"
          onClick={() => onShow(parentRunId)}
        >
          the run before it
        </button>
      ) : null,
    ],
  ]
  return (
    <dl className="grid grid-cols-[104px_1fr] items-baseline gap-y-1">
      {facts.map(
        ([term, fact]) =>
          fact !== null && (
            <div key={term} className="contents">
              <dt className="text-ink-3">{term}</dt>
              <dd className="tnum min-w-0 break-words">{fact}</dd>
            </div>
          ),
      )}
    </dl>
  )
}

function Tokens({ usage }: { usage: NonNullable<Run['usage']> }) {
  const { inputTokens, cachedInputTokens, outputTokens, reasoningOutputTokens } = usage
  return (
    <>
      {count(inputTokens)} in
      {cachedInputTokens > 0 && `, ${count(cachedInputTokens)} of them from the cache`};{' '}
      {count(outputTokens)} out
      {reasoningOutputTokens > 0 && `, ${count(reasoningOutputTokens)} of them to think`}
    </>
  )
}

function Commit({ sha }: { sha: string }) {
  return (
    <span className="flex items-center gap-1">
      <code className="min-w-0 truncate text-sm" title={sha}>
        {sha}
      </code>
      <span className="-my-1">
        <CopyButton text={() => sha} label="Copy the hash" />
      </span>
    </span>
  )
}
