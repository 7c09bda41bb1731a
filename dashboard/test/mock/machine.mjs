// The machine of a project of the test server: checkpoints, limits, rest, schedules, services. Speaks
// docs/http-api.md; keeps all of it in memory.
import { Network } from './network.mjs'

let made = 0
const newId = (letter) => `${letter}${String(++made).padStart(11, '0')}`

const CAN = {
  checkpoint: true,
  liveCheckpoint: true,
  fork: true,
  freeze: true,
  limits: ['memory', 'pids', 'log'],
  egress: true,
}

/** What a checkpoint holds of a project. */
export const held = (project) => ({
  files: new Map(project.files),
  inspect: project.inspect,
  talks: new Map([...project.sessions.values()].map((s) => [s.id, s.messages.slice()])),
})

export class MachineSide {
  constructor(project) {
    this.project = project
    this.can = CAN
    this.network = new Network()
    this.limits = {
      memoryBytes: 4 * 2 ** 30,
      cpus: null,
      pids: 4096,
      diskBytes: null,
      logBytes: 4 * 2 ** 30,
    }
    this.idle = { freezeAfterS: 300, coldAfterS: 3600 }
    this.frozenAt = null
    this.checkpoints = []
    this.held = new Map()
    this.rule = { last: 50, hourly: 24, daily: 14 }
    this.automatic = true
    this.base = 'host-1'
    this.wakes = [
      {
        at: new Date(Date.now() - 240_000).toISOString(),
        cause: 'opened by a person',
        was: 'cold',
      },
      {
        at: new Date(Date.now() - 5_400_000).toISOString(),
        cause: 'a request to the app on port 3000',
        was: 'cold',
      },
      {
        at: new Date(Date.now() - 30_000_000).toISOString(),
        cause: 'the schedule Morning report',
        was: 'frozen',
      },
    ]
    this.schedules = []
    this.budget = {
      runUsd: null,
      monthUsd: null,
      totalUsd: null,
      spent: { monthUsd: 4.2, totalUsd: 4.2 },
    }
    this.modelLimits = { callsAtOnce: null, callsPerMinute: null }
    this.firings = new Map()
    this.processes = new Map()
    this.logs = new Map()
    this.calls = []
  }

  take(cause, { label = null, message = null, at = Date.now() } = {}) {
    const checkpoint = {
      id: newId('c'),
      projectId: this.project.id,
      label,
      cause,
      createdAt: at,
      seq: this.project.seq,
      base: this.base,
      sessions: [...this.project.sessions.values()].map((s) => ({
        sessionId: s.id,
        leafEntryId: s.messages.at(-1)?.entryId ?? null,
      })),
      message,
    }
    this.held.set(checkpoint.id, held(this.project))
    this.checkpoints.push(checkpoint)
    this.checkpoints.sort((a, b) => b.createdAt - a.createdAt)
    return checkpoint
  }

  find(id) {
    const found = this.checkpoints.find((each) => each.id === id)
    if (!found)
      throw { status: 409, code: 'no_checkpoint', message: 'There is no such checkpoint any more.' }
    return found
  }

  before(sessionId, entryId) {
    const found = this.checkpoints.find(
      (each) => each.message?.sessionId === sessionId && each.message.leafEntryId === entryId,
    )
    if (found) return found
    throw {
      status: 409,
      code: 'no_checkpoint',
      message: 'No checkpoint was taken before this message, or it was deleted since.',
    }
  }

  affected(checkpoint) {
    const { talks } = this.held.get(checkpoint.id)
    return [...this.project.sessions.values()]
      .map((s) => ({
        sessionId: s.id,
        name: s.name ?? 'Task app',
        messagesAfter: s.messages.length - (talks.get(s.id)?.length ?? 0),
      }))
      .filter((each) => each.messagesAfter > 0)
  }

  diff(checkpoint) {
    const { files } = this.held.get(checkpoint.id)
    const now = this.project.files
    const size = (text) => (text === undefined ? null : text.length)
    const changes = [...new Set([...files.keys(), ...now.keys()])]
      .filter((path) => files.get(path) !== now.get(path))
      .toSorted()
      .map((path) => ({
        path,
        kind: !files.has(path) ? 'added' : now.has(path) ? 'modified' : 'removed',
        sizeBefore: size(files.get(path)),
        sizeAfter: size(now.get(path)),
      }))
    return { changes, truncated: false, affectedSessions: this.affected(checkpoint) }
  }

  fileDiff(checkpoint, path) {
    const before = this.held.get(checkpoint.id).files.get(path) ?? null
    const after = this.project.files.get(path) ?? null
    if ((before ?? after ?? '').includes('\0'))
      return { path, before: null, after: null, unified: '', note: 'the file is binary' }
    const lines = (text, sign) =>
      (text ?? '')
        .split('\n')
        .slice(0, -1)
        .map((line) => `${sign}${line}`)
    const [old, fresh] = [lines(before, '-'), lines(after, '+')]
    const unified = [
      `--- ${path}`,
      `+++ ${path}`,
      `@@ -1,${old.length} +1,${fresh.length} @@`,
      ...old,
      ...fresh,
    ]
    return { path, before, after, unified: `${unified.join('\n')}\n` }
  }

  restore(checkpoint, force) {
    if (checkpoint.base !== this.base && !force)
      throw {
        status: 409,
        code: 'base_changed',
        message: `the checkpoint was taken over other system programs (${checkpoint.base}) than there are now (${this.base}): what was installed in it may not run; fork it to look, or restore with force`,
      }
    const { project } = this
    const before = this.take('restore')
    const affected = this.affected(checkpoint)
    const { files, inspect, talks } = this.held.get(checkpoint.id)
    project.files = new Map(files)
    project.inspect = inspect
    const sessions = []
    for (const session of project.sessions.values()) {
      const from = session.messages.at(-1)?.entryId ?? null
      session.messages = talks.get(session.id)?.slice() ?? []
      const to = session.messages.at(-1)?.entryId ?? null
      if (from === to) continue
      sessions.push({ sessionId: session.id, fromEntryId: from, toEntryId: to })
      const { id, label, createdAt } = checkpoint
      session.restores ??= []
      session.restores.push({
        afterEntryId: to,
        checkpointId: id,
        label,
        takenAt: createdAt,
        at: Date.now(),
      })
    }
    const { id, label, createdAt } = checkpoint
    project.emit('restored', null, { checkpointId: id, label, takenAt: createdAt, sessions })
    return { checkpoint, before, affectedSessions: affected, machine: project.machine() }
  }

  service(id, verb) {
    const row = this.project.inspect.services.find((each) => each.id === id)
    if (!row) throw { status: 404, code: 'not_found', message: 'There is no such service.' }
    const old = this.processes.get(id)
    const running = verb !== 'stop'
    const process = {
      state: running ? 'running' : 'stopped',
      pid: running ? 60 + made : null,
      restarts: verb === 'restart' ? (old?.restarts ?? 0) : 0,
      exitCode: null,
      since: Date.now(),
    }
    this.processes.set(id, process)
    const { state, restarts } = process
    this.project.emit('service', null, { id, name: row.name, state, exitCode: null, restarts })
    return { ...row, process }
  }

  observe(id, state, exitCode, restarts) {
    const row = this.project.inspect.services.find((each) => each.id === id)
    this.processes.set(id, { state, pid: null, restarts, exitCode, since: Date.now() })
    this.project.emit('service', null, { id, name: row.name, state, exitCode, restarts })
  }

  services() {
    return this.project.inspect.services.map((row) => ({
      ...row,
      process: this.processes.get(row.id) ?? null,
    }))
  }

  schedule(wish, more = {}) {
    const now = Date.now()
    const schedule = {
      id: newId('s'),
      catchUp: 'latest',
      overlap: 'skip',
      enabled: true,
      timeoutMs: 3_600_000,
      createdAt: now,
      updatedAt: now,
      nextAt: wish.when.at ?? now + (wish.when.everyS ?? 52_000) * 1000,
      ...wish,
      ...more,
    }
    this.schedules.push(schedule)
    this.firings.set(schedule.id, [])
    return schedule
  }

  fire(schedule, outcome, more = {}) {
    const slot = more.slot ?? Date.now()
    const firing = {
      id: newId('f'),
      slot,
      byHand: false,
      outcome,
      reason: null,
      startedAt: outcome === 'skipped' || outcome === 'suppressed' ? null : slot + 40,
      endedAt: outcome === 'running' || outcome === 'skipped' ? null : slot + 12_400,
      exitCode: null,
      output: null,
      sessionId: null,
      ...more,
    }
    this.firings.get(schedule.id).unshift(firing)
    this.project.emit('schedule', null, {
      scheduleId: schedule.id,
      name: schedule.name,
      slot,
      outcome,
      reason: firing.reason,
    })
    return firing
  }
}
