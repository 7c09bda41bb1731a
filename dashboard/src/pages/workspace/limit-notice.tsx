// A limit of the machine was reached: which, by whom, what to do. Stays until a person has seen it.
import { useState } from 'react'
import { limitWords } from '@/components/machine-words'
import { Ticked } from '@/components/ticked'
import { useAskAgent } from '@/hooks/ask-agent'
import { runById } from '@/hooks/commands'
import { useLatest, useProject } from '@/hooks/live'
import { Button, IconButton } from '@/ui/button'
import { Icon } from '@/ui/icons'
import { Ago } from '@/ui/time'
import { load, save } from '@/util/storage'

/** Older ones are history: the log and the machine's panel have them. */
const NEWS_MS = 24 * 3_600_000

export function LimitNotice() {
  const { id } = useProject()
  const ask = useAskAgent()
  const [hit] = useLatest('limit', 1)
  const key = `toft.seen.limit.${id}`
  const [seen, setSeen] = useState(() => load<number>(key, 1) ?? 0)
  const [opened] = useState(() => Date.now())
  if (!hit || hit.seq <= seen || hit.at < opened - NEWS_MS) return null
  const { command, pid, message } = hit.data
  const { title, use } = limitWords(hit.data)
  const dismiss = () => {
    save(key, 1, hit.seq)
    setSeen(hit.seq)
  }
  return (
    <div
      role="alert"
      className="flex shrink-0 items-start gap-2.5 border-b bg-amber-soft py-1.5 pr-1.5 pl-3"
    >
      <Icon name="warn" className="mt-1.5 text-amber-text" />
      <div className="min-w-0 grow py-1">
        <div className="flex flex-wrap items-baseline gap-x-2">
          <span className="font-medium text-amber-text">{title}</span>
          {use && <span className="tnum text-sm text-ink-2">{use}</span>}
          <Ago at={hit.at} className="text-sm text-ink-2" />
        </div>
        {command && !message.includes(command) && (
          <code className="block truncate text-sm" title={command}>
            {command}
            {pid !== null && <span className="text-ink-2"> (pid {pid})</span>}
          </code>
        )}
        <p className="text-pretty break-words">
          <Ticked text={message} />
        </p>
      </div>
      <div className="flex shrink-0 gap-1.5 max-md:hidden">
        <Button onClick={() => runById('panel.machine')}>Limits</Button>
        <Button
          onClick={() => ask(`${title}${command ? `: \`${command}\`` : ''}. ${message} What now?`)}
        >
          Ask the agent
        </Button>
      </div>
      <IconButton icon="close" label="Seen" onClick={dismiss} />
    </div>
  )
}
