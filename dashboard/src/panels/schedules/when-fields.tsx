// When a schedule is due: by a cron line, again and again, or once; with what that means.
import { capital, dayAndTime } from '@/util/format'
import { cronWords, isZone, nextTimes, parseCron } from '@/util/cron'
import { HERE } from '@/components/schedule-words'
import { CONTROL, Field, Input, Segments } from '@/ui/field'
import { UNITS_S, type Faults, type Typed } from './draft'

const PRESETS = [
  { cron: '0 * * * *', label: 'Hourly' },
  { cron: '0 7 * * *', label: 'Daily' },
  { cron: '0 9 * * 1-5', label: 'Workdays' },
  { cron: '0 9 * * 1', label: 'Mondays' },
] as const

const NEXT = 3

export function WhenFields({
  typed,
  faults,
  now,
  put,
}: {
  typed: Typed
  faults: Faults
  now: number
  put: (change: Partial<Typed>) => void
}) {
  return (
    <div className="flex flex-col gap-2">
      <Segments
        label="When"
        value={typed.kind}
        options={[
          { value: 'cron', label: 'By the clock' },
          { value: 'every', label: 'Again and again' },
          { value: 'once', label: 'Once' },
        ]}
        onChange={(kind) => put({ kind })}
      />
      {typed.kind === 'cron' && <CronFields typed={typed} faults={faults} now={now} put={put} />}
      {typed.kind === 'every' && (
        <div className="grid grid-cols-[1fr_1fr] gap-3">
          <Field label="Every" error={faults.when ?? null} note="Counted from now.">
            {(ids) => (
              <Input
                {...ids}
                inputMode="decimal"
                value={typed.every}
                onChange={(event) => put({ every: event.target.value })}
              />
            )}
          </Field>
          <Field label="Unit">
            {(ids) => (
              <select
                {...ids}
                value={typed.unit}
                onChange={(event) => put({ unit: event.target.value as Typed['unit'] })}
                className={`${CONTROL} select`}
              >
                {Object.keys(UNITS_S).map((unit) => (
                  <option key={unit}>{unit}</option>
                ))}
              </select>
            )}
          </Field>
        </div>
      )}
      {typed.kind === 'once' && (
        <Field label="At" error={faults.when ?? null} note={`Clocks of ${HERE}.`}>
          {(ids) => (
            <Input
              {...ids}
              type="datetime-local"
              value={typed.at}
              onChange={(event) => put({ at: event.target.value })}
            />
          )}
        </Field>
      )}
    </div>
  )
}

function CronFields({
  typed,
  faults,
  now,
  put,
}: {
  typed: Typed
  faults: Faults
  now: number
  put: (change: Partial<Typed>) => void
}) {
  const cron = parseCron(typed.cron)
  const words = 'error' in cron ? null : capital(cronWords(cron))
  const next = 'error' in cron || !isZone(typed.zone) ? [] : nextTimes(cron, typed.zone, now, NEXT)
  return (
    <>
      <div className="grid grid-cols-2 gap-3 max-sm:grid-cols-1">
        <Field
          label="Cron line"
          error={faults.when ?? null}
          note={words ? <span className="text-ink-2">{words}.</span> : 'The server reads this one.'}
        >
          {(ids) => (
            <Input
              {...ids}
              mono
              value={typed.cron}
              onChange={(event) => put({ cron: event.target.value })}
            />
          )}
        </Field>
        <Field label="On the clocks of" error={faults.zone ?? null}>
          {(ids) => (
            <Input
              {...ids}
              value={typed.zone}
              onChange={(event) => put({ zone: event.target.value })}
            />
          )}
        </Field>
      </div>
      <div className="flex flex-wrap gap-1">
        {PRESETS.map(({ cron: line, label }) => (
          <button
            key={line}
            type="button"
            aria-pressed={typed.cron.trim() === line}
            onClick={() => put({ cron: line })}
            className="h-6 rounded-full border px-2.5 text-sm text-ink-2 hover:bg-hover aria-pressed:bg-press aria-pressed:text-ink max-md:h-9"
          >
            {label}
          </button>
        ))}
      </div>
      {next.length > 0 && (
        <p className="tnum text-sm text-ink-3">
          Next: {next.map((at) => dayAndTime(at)).join(' · ')}
          {typed.zone === HERE ? '' : ' (your time)'}
        </p>
      )}
    </>
  )
}
