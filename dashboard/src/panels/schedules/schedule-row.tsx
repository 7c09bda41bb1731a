// One schedule: when it is due, what became of the last slots; opened, what runs and each slot with its
// reason.
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { wordsOf } from '@/api/http'
import type { Firing, Schedule } from '@/api/machine-types'
import { LookGlyph } from '@/components/project-state'
import { firingLook, whenWords, workWords } from '@/components/schedule-words'
import { useOpenPanel } from '@/hooks/dock'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { useScheduleActions } from '@/hooks/schedules'
import { Button, IconButton } from '@/ui/button'
import { Confirm } from '@/ui/dialog'
import { Icon } from '@/ui/icons'
import { Menu, type MenuList } from '@/ui/menu'
import { Skeleton } from '@/ui/state'
import { Switch } from '@/ui/switch'
import { Until } from '@/ui/time'
import { cx } from '@/util/class'
import { absolute, dayAndTime, duration, momentOf } from '@/util/format'

/** Outcomes in the row itself; opened, there are more. */
const DOTS_MAX = 5
const FIRINGS_MAX = 20

export function ScheduleRow({
  schedule,
  open,
  onToggle,
  onEdit,
}: {
  schedule: Schedule
  open: boolean
  onToggle: () => void
  onEdit: () => void
}) {
  const { id } = useProject()
  const { enable, remove, run } = useScheduleActions(id)
  const firings = useQuery(queries.firings(id, schedule.id))
  const [deleting, setDeleting] = useState(false)
  const { name, enabled } = schedule
  const next = momentOf(schedule.nextAt)
  const items: MenuList = [
    { label: 'Run now', icon: 'play', onSelect: () => run.mutate(schedule) },
    { label: 'Edit…', icon: 'edit', onSelect: onEdit },
    null,
    { label: 'Delete…', icon: 'trash', danger: true, onSelect: () => setDeleting(true) },
  ]
  return (
    <li className={cx(open && 'bg-ground')}>
      <div className="flex min-h-12 items-center gap-1 pr-1.5 hover:bg-hover">
        <button
          type="button"
          aria-expanded={open}
          onClick={onToggle}
          className="flex min-h-12 min-w-0 grow items-center gap-2 py-1 pl-3 text-left -outline-offset-2"
        >
          <Icon
            name="chevron"
            width={12}
            height={12}
            className={cx('text-ink-3', open && 'rotate-90')}
          />
          <span className={cx('min-w-0 grow', !enabled && 'text-ink-3')}>
            <span className="flex items-center gap-2">
              <span className="truncate font-medium">{name}</span>
              <Dots firings={firings.data ?? []} />
            </span>
            <span className="block truncate text-sm text-ink-2">{whenWords(schedule.when)}</span>
          </span>
          <span className="shrink-0 px-2 text-right text-sm text-ink-3">
            {!enabled ? (
              'Off'
            ) : Number.isFinite(next) ? (
              <>
                <Until at={next} className="block text-ink-2" />
                <span className="tnum max-sm:hidden">{dayAndTime(next)}</span>
              </>
            ) : (
              'Not again'
            )}
          </span>
        </button>
        <Switch
          label={`${name} on`}
          on={enabled}
          disabled={enable.isPending}
          onChange={(on) => enable.mutate({ schedule, enabled: on })}
        />
        <Menu items={items} align="end">
          <IconButton icon="more" label={`More for ${name}`} />
        </Menu>
      </div>
      {open && (
        <div className="pr-3 pb-3 pl-8">
          <div className="text-sm text-ink-3">
            {'command' in schedule.do
              ? 'Runs the command'
              : schedule.do.sessionId
                ? 'Prompts the agent in one conversation'
                : 'Prompts the agent, in a new conversation each time'}
          </div>
          <pre className="mt-0.5 max-h-40 overflow-auto rounded-md border bg-surface px-2.5 py-1.5 text-sm break-words whitespace-pre-wrap">
            {workWords(schedule.do)}
          </pre>
          <div className="mt-2 flex flex-wrap gap-2">
            <Button icon="play" disabled={run.isPending} onClick={() => run.mutate(schedule)}>
              Run now
            </Button>
            <Button icon="edit" onClick={onEdit}>
              Edit…
            </Button>
          </div>
          <h4 className="mt-3 text-sm font-medium text-ink-2">Last times</h4>
          {firings.isPending ? (
            <Skeleton widths={[60, 52]} className="py-1" />
          ) : firings.error && !firings.data ? (
            <p className="text-red-text">{wordsOf(firings.error)}</p>
          ) : firings.data?.length === 0 ? (
            <p className="text-ink-3">It was not due yet.</p>
          ) : (
            <ol>
              {firings.data?.slice(0, FIRINGS_MAX).map((firing) => (
                <FiringLine key={firing.id} firing={firing} />
              ))}
            </ol>
          )}
        </div>
      )}
      <Confirm
        open={deleting}
        title={`Delete ${name}?`}
        touches="It is not due any more, and what became of its times is forgotten. What it did stays."
        verb="Delete"
        onConfirm={() => remove.mutate(schedule)}
        onClose={() => setDeleting(false)}
      />
    </li>
  )
}

/** The last outcomes, the newest at the right. */
function Dots({ firings }: { firings: readonly Firing[] }) {
  return (
    <span className="flex shrink-0 gap-0.5">
      {firings
        .slice(0, DOTS_MAX)
        .toReversed()
        .map((firing) => (
          <LookGlyph key={firing.id} look={firingLook(firing)} titled />
        ))}
    </span>
  )
}

function FiringLine({ firing }: { firing: Firing }) {
  const openPanel = useOpenPanel()
  const { reason, exitCode, sessionId, byHand, output, slots } = firing
  const slot = momentOf(firing.slot)
  const took = momentOf(firing.endedAt) - momentOf(firing.startedAt)
  const look = firingLook(firing)
  const last = momentOf(firing.lastSlot)
  const facts = [
    byHand ? 'by hand' : null,
    slots > 1 ? `${slots} times, up to ${dayAndTime(last)}` : null,
    Number.isFinite(took) ? duration(took) : null,
    exitCode === null || exitCode === 0 || reason ? null : `exit code ${exitCode}`,
  ].filter((fact) => fact !== null)
  return (
    <li className="py-0.5">
      <div className="flex min-h-6 items-start gap-2 max-sm:flex-wrap max-sm:gap-y-0">
        <time
          dateTime={new Date(slot).toISOString()}
          title={absolute(slot)}
          className="tnum w-32 shrink-0 pt-px text-sm leading-5 text-ink-3"
        >
          {dayAndTime(slot)}
        </time>
        <span className="flex w-20 shrink-0 items-center gap-1.5" title={look.meaning}>
          <LookGlyph look={look} />
          {look.word}
        </span>
        <span className="min-w-0 grow break-words text-ink-2">
          {reason ?? ''}
          {facts.length > 0 && (
            <span className="tnum text-sm text-ink-3">
              {reason ? ' · ' : ''}
              {facts.join(' · ')}
            </span>
          )}
        </span>
        {sessionId && (
          <button
            type="button"
            onClick={() => openPanel({ kind: 'chat', sessionId })}
            className="shrink-0 text-blue hover:underline"
          >
            Conversation
          </button>
        )}
      </div>
      {output?.trim() && (
        <details className="mb-1">
          <summary className="w-fit text-sm text-ink-3 hover:text-ink-2">Output</summary>
          <pre className="mt-0.5 max-h-48 overflow-auto rounded-md border bg-surface px-2.5 py-1.5 text-sm break-words whitespace-pre-wrap">
            {output}
          </pre>
        </details>
      )}
    </li>
  )
}
