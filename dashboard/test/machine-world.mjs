// A project with a past, for tests and pictures of what belongs to its machine.

const MINUTE = 60_000

/** Checkpoints of some days, services in trouble, schedules with outcomes. */
export function withPast(project) {
  const { side } = project
  const now = Date.now()
  const session = project.session()
  const at = (minutes) => ({ at: now - minutes * MINUTE })
  project.files.set('/home/project/notes.md', '# Notes\n\nThe beds are by the south wall.\n')
  project.files.set('/home/project/logo.png', `\u0089PNG\0${'x'.repeat(4000)}`)
  // Three days at any time of the day.
  side.take('fork', at(5 * 1440))
  side.take('manual', { label: 'Before the rewrite', ...at(2 * 1440 + 70) })
  side.take('prompt', { message: { sessionId: session.id, leafEntryId: 'gone' }, ...at(1440 + 3) })
  side.take('restore', at(95))
  project.files.set(
    '/home/project/notes.md',
    '# Notes\n\nThe beds are by the north wall.\nWater daily.\n',
  )
  project.files.set('/home/project/logo.png', `\u0089PNG\0${'y'.repeat(5200)}`)
  const row = (id, name, more) => ({
    id,
    name,
    type: 'worker',
    port: null,
    schedule: null,
    status: 'stopped',
    description: null,
    command: null,
    cwd: null,
    env: null,
    restart: null,
    ...more,
  })
  project.setInspect({
    services: [
      row('web', 'Task app', {
        type: 'app',
        port: 3000,
        command: 'node server.mjs --port "$PORT"',
        cwd: '/home/project',
        env: { PORT: '3000', NODE_ENV: 'production' },
        restart: 'always',
        description: 'A small list of tasks that keeps its data',
      }),
      row('mail', 'Mail worker', { command: 'python3 worker.py', restart: 'on-failure' }),
      row('feed', 'Feed reader', { command: './feed --once', restart: 'never' }),
      row('notes', 'Old preview', { type: 'app', port: 8080, status: 'running' }),
    ],
    assets: [],
  })
  const observed = (state, more = {}) => ({
    state,
    pid: null,
    restarts: 0,
    exitCode: null,
    since: now - 4 * MINUTE,
    ...more,
  })
  side.processes.set('web', observed('running', { pid: 41, restarts: 2 }))
  side.processes.set('mail', observed('failed', { exitCode: 1, restarts: 5 }))
  side.processes.set('feed', observed('exited', { exitCode: 0 }))
  const report = side.schedule({
    name: 'Morning report',
    when: { cron: '30 7 * * 1-5', timezone: 'Europe/Berlin' },
    do: { prompt: 'Read what came in since yesterday and write the report.' },
  })
  const backup = side.schedule({
    name: 'Backup',
    when: { everyS: 21_600 },
    do: { command: 'make backup' },
  })
  side.schedule(
    {
      name: 'Spring cleaning',
      when: { cron: '0 4 1 4 *', timezone: 'UTC' },
      do: { command: 'npm prune' },
    },
    { enabled: false, nextAt: null },
  )
  const slot = (hours) => now - hours * 60 * MINUTE
  side.fire(report, 'fired', { slot: slot(72), sessionId: session.id })
  side.fire(report, 'late', {
    slot: slot(48),
    reason: 'the server was away until 09:12',
    sessionId: session.id,
  })
  side.fire(report, 'fired', { slot: slot(24), sessionId: session.id })
  side.fire(backup, 'fired', { slot: slot(18), exitCode: 0 })
  side.fire(backup, 'suppressed', { slot: slot(12), reason: 'the one before still ran' })
  side.fire(backup, 'failed', {
    slot: slot(6),
    exitCode: 2,
    reason: 'the command ended with exit code 2',
    output: 'make: *** [backup] Error 2\n',
  })
  return project
}
