// What went out and what was blocked, newest first; what is open now above it.
import { useState, type ReactNode } from 'react'
import type { EgressAnswer, EgressLine, OpenConnection } from '@/api/machine-types'
import { useSetEgress, type useEgressLog } from '@/hooks/egress'
import { Button } from '@/ui/button'
import { Segments } from '@/ui/field'
import { Glyph } from '@/ui/glyph'
import { Empty, Skeleton } from '@/ui/state'
import { absolute, bytes, clock, duration, momentOf } from '@/util/format'
import { echoWords, ruleWords } from './rule-words'

type Shown = 'all' | 'blocked'

const SHOWN = [
  { value: 'all', label: 'All' },
  { value: 'blocked', label: 'Blocked' },
] as const

export function ConnectionLog({
  setting,
  log,
  older,
  loadingOlder,
}: { setting: EgressAnswer } & ReturnType<typeof useEgressLog>) {
  const [shown, setShown] = useState<Shown>('all')
  if (!log) return <Skeleton className="p-4" words="Reading the log…" />
  const lines = shown === 'all' ? log.lines : log.lines.filter((line) => line.verdict === 'deny')
  const open = shown === 'all' ? log.open : []
  return (
    <section>
      <div className="flex min-h-10 items-center gap-3 border-b px-4">
        <h3 className="grow font-semibold">Connections</h3>
        <Segments
          label="Which connections"
          value={shown}
          options={SHOWN}
          onChange={(value) => setShown(value)}
        />
      </div>
      {lines.length === 0 && open.length === 0 ? (
        <Empty
          title={shown === 'all' ? 'Nothing went out yet' : 'Nothing was blocked'}
          drawing={false}
        >
          Each connection of the machine shows here as it is made or blocked, with what decided.
        </Empty>
      ) : (
        <ul aria-label="Connections" className="divide-y divide-line border-b">
          {open.toReversed().map((one) => (
            <OpenLine key={`open-${one.id}`} one={one} />
          ))}
          {lines.map((line) => (
            <Line key={line.seq} line={line} setting={setting} />
          ))}
        </ul>
      )}
      {log.more && (
        <div className="flex justify-center p-2">
          <Button variant="ghost" disabled={loadingOlder} onClick={() => void older()}>
            {loadingOlder ? 'Reading…' : 'Show older'}
          </Button>
        </div>
      )}
    </section>
  )
}

function OpenLine({ one }: { one: OpenConnection }) {
  return (
    <Row
      glyph={<Glyph shape="play" tone="moss" title="open" />}
      at={one.at}
      host={one.host}
      port={one.port}
      note={`open, ${traffic(one)}`}
    />
  )
}

function Line({ line, setting }: { line: EgressLine; setting: EgressAnswer }) {
  if (line.rule === 'secret-echoed') return <EchoLine line={line} />
  return <ConnectionLine line={line} setting={setting} />
}

/** No connection of its own: what a host said in one. */
function EchoLine({ line }: { line: EgressLine }) {
  return (
    <Row
      glyph={<Glyph shape="half" tone="amber" title="a secret came back" />}
      at={line.lastAt ?? line.at}
      host={line.host ?? 'Several hosts'}
      port={line.port}
      note={echoWords(line)}
      asks
    />
  )
}

function ConnectionLine({ line, setting }: { line: EgressLine; setting: EgressAnswer }) {
  const { set, allow } = useSetEgress()
  const denied = line.verdict === 'deny'
  const rule = line.allowRule
  const { inForce, ceiling, level } = setting
  const already = rule !== null && inForce === 'allow-list' && setting.rules.includes(rule)
  const canAllow = rule !== null && inForce !== 'open' && ceiling !== 'none' && !already
  return (
    <Row
      glyph={
        denied ? (
          <Glyph shape="cross" tone={canAllow ? 'amber' : 'quiet'} title="blocked" />
        ) : (
          <Glyph shape={line.error === null ? 'tick' : 'half'} tone="quiet" title="allowed" />
        )
      }
      at={line.lastAt ?? line.at}
      host={line.host ?? 'Several hosts'}
      port={line.port}
      note={(denied ? ruleWords(line) : allowedWords(line)) + timesWords(line)}
      asks={canAllow}
      action={
        canAllow ? (
          <Button
            aria-label={`Allow ${rule}`}
            disabled={set.isPending || allow.isPending}
            onClick={() => {
              // Where nothing is allowed, this host and those of the list become what is.
              if (level === 'none') {
                set.mutate({ level: 'allow-list', rules: [...setting.rules, rule] })
              } else {
                allow.mutate(rule)
              }
            }}
          >
            {level === 'none' ? 'Allow only this host' : 'Allow this host'}
          </Button>
        ) : already ? (
          <span className="shrink-0 text-sm text-ink-3">allowed now</span>
        ) : null
      }
    />
  )
}

function Row({
  glyph,
  at,
  host,
  port,
  note,
  asks = false,
  action,
}: {
  glyph: ReactNode
  at: string
  host: string
  port: number | null
  note: string
  /** Whether a person may want to do something about it. */
  asks?: boolean
  action?: ReactNode
}) {
  const moment = momentOf(at)
  return (
    <li className="flex min-h-9 items-center gap-2 px-4 py-1 max-md:min-h-12">
      <span className="shrink-0">{glyph}</span>
      <time
        dateTime={at}
        title={absolute(moment)}
        className="tnum w-16 shrink-0 text-sm text-ink-3 max-sm:hidden"
      >
        {clock(moment)}
      </time>
      <div className="min-w-0 grow">
        <div className="truncate font-mono text-sm" title={host}>
          {host}
          {port !== null && <span className="text-ink-3">:{port}</span>}
        </div>
        <div
          className={`text-pretty break-words text-sm ${asks ? 'text-amber-text' : 'text-ink-3'}`}
        >
          {note}
        </div>
      </div>
      {action}
    </li>
  )
}

function traffic({ bytesIn, bytesOut }: { bytesIn: number; bytesOut: number }): string {
  return `${bytes(bytesIn)} in, ${bytes(bytesOut)} out`
}

const ERRORS: Record<string, string> = {
  cut: 'the connection broke',
  idle_timeout: 'nothing moved any more',
  client_closed: 'the program went away',
  name_not_found: 'there is no such name',
  upstream_unreachable: 'it takes no connections',
  upstream_timeout: 'it did not answer',
  tls_failed: 'the program did not take the certificate of the project’s authority',
  answer_encoded: 'its answer could not be looked through',
}

/** How many one line stands for, and since when. */
function timesWords({ count, at }: EgressLine): string {
  return count > 1 ? ` ${count.toLocaleString('en-US')} times since ${clock(momentOf(at))}.` : ''
}

function allowedWords(line: EgressLine): string {
  const parts = [traffic(line), duration(line.durationMs)]
  if (line.host === null) parts.push('more at once than the log tells apart')
  else if (line.rule !== 'open') parts.push(`by ${line.rule}`)
  if (line.secrets.length > 0) parts.push(`with ${line.secrets.join(', ')}`)
  if (line.error !== null) parts.push(ERRORS[line.error] ?? line.error)
  return parts.join(', ')
}
