// Several runs of one prompt of the test server, each in a copy of the project: made, looked at side by side, one
// kept or all dropped.
import { randomUUID } from 'node:crypto'
import { fork } from './machine-routes.mjs'
import { isOver, stamp } from './runs.mjs'

const CONFLICT = { status: 409, code: 'conflict' }

export class Comparisons {
  constructor(world, project) {
    this.world = world
    this.project = project
    /** Latest first. */
    this.all = []
    this.keys = new Map()
    /** Candidates whose check fails, by number. */
    this.failing = new Set()
  }

  ask({ prompt, n, models, approval = false }, key) {
    const known = this.keys.get(key)
    if (known) return { ...this.shown(known), created: false }
    const { world, project } = this
    const base = project.side.take('manual', { label: 'Before comparing runs' })
    const asked = models ?? Array.from({ length: n }, () => ({}))
    const now = stamp()
    const made = {
      id: randomUUID(),
      status: 'open',
      error: null,
      prompt,
      base,
      keptRunId: null,
      createdAt: now,
      candidates: asked.map(({ provider = null, model = null }, place) => {
        const number = place + 1
        const copy = fork(world, project, base, `${project.name}, candidate ${number}`)
        copy.runs.writes = `export const beds = []\n// ${'by candidate '.repeat(number).trim()}\n`
        copy.runs.holdsAt = project.runs.holdsAt
        const { id } = copy.runs.ask({ prompt, provider, model, approval }, `c${number}`)
        return { number, runId: id, provider, model, copy, outcome: null }
      }),
    }
    for (const { copy } of made.candidates) {
      copy.candidateOf = { projectId: project.id, comparisonId: made.id }
    }
    this.all.unshift(made)
    this.keys.set(key, made)
    return { ...this.shown(made), created: true }
  }

  find(id) {
    const found = this.all.find((each) => each.id === id)
    if (!found) throw { status: 404, code: 'not_found', message: 'comparison not found' }
    return found
  }

  shown(one) {
    const { id, status, error, prompt, base, keptRunId, createdAt } = one
    return {
      id,
      projectId: this.project.id,
      status,
      error,
      prompt,
      baseCheckpointId: base.id,
      keptRunId,
      createdAt,
      updatedAt: createdAt,
      candidates: one.candidates.map(({ number, runId, provider, model, copy, outcome }) => {
        const run = (copy ?? this.project).runs.all.find((each) => each.id === runId) ?? null
        return {
          number,
          runId,
          provider,
          model,
          projectId: copy?.id ?? null,
          url: copy ? `http://${copy.id}.localhost/` : null,
          kept: keptRunId === runId,
          run,
          outcome,
          durationMs: run && isOver(run) ? 4200 * number : (outcome?.durationMs ?? null),
          checks: (copy?.parts.receipts ?? []).map((receipt) => ({
            receipt: receipt.number,
            kinds: ['test'],
            command: 'npm test',
            auto: false,
            result: this.failing.has(number) ? 'failed' : 'passed',
            exitCode: this.failing.has(number) ? 1 : 0,
            durationMs: 1800,
          })),
        }
      }),
    }
  }

  #diff({ base }, { copy }, path) {
    if (!copy) throw { status: 409, code: 'unavailable', message: 'its fork is gone' }
    const { files } = this.project.side.held.get(base.id)
    const lines = (text) => (text ?? '').split('\n').slice(0, -1)
    if (path) {
      const [before, after] = [files.get(path), copy.files.get(path)]
      const old = lines(before).map((line) => `-${line}`)
      const fresh = lines(after).map((line) => `+${line}`)
      const unified = `--- a\n+++ b\n@@ -1,${old.length} +1,${fresh.length} @@\n${[...old, ...fresh].join('\n')}\n`
      return { path, before, after, unified }
    }
    const changes = [...new Set([...files.keys(), ...copy.files.keys()])]
      .filter((each) => files.get(each) !== copy.files.get(each))
      .map((each) => ({
        path: each,
        kind: files.has(each) ? 'modified' : 'added',
        sizeBefore: files.get(each)?.length ?? null,
        sizeAfter: copy.files.get(each)?.length ?? null,
        added: lines(copy.files.get(each)).length,
        removed: lines(files.get(each)).length,
      }))
    const sum = (of) => changes.reduce((all, each) => all + each[of], 0)
    const totals = { added: sum('added'), removed: sum('removed') }
    return { changes, truncated: false, ...totals, counted: true }
  }

  #clear(one) {
    for (const candidate of one.candidates) {
      const run = candidate.copy.runs.find(candidate.runId)
      const { provider, model } = run.meta
      const { status, cost } = run
      candidate.outcome = { status, provider, model, cost, durationMs: 4200 * candidate.number }
      this.world.projects.delete(candidate.copy.id)
      candidate.copy = null
    }
  }

  keep(one, runId) {
    const { project } = this
    if (one.keptRunId === runId) return this.shown(one)
    if (one.status !== 'open')
      throw { ...CONFLICT, message: 'this comparison is decided otherwise' }
    if (project.runs.all.some((run) => !isOver(run))) {
      throw { ...CONFLICT, message: 'the project has a run that is not over: wait for it' }
    }
    const { copy } = one.candidates.find((each) => each.runId === runId)
    const run = copy.runs.find(runId)
    project.side.take('restore')
    project.files = new Map(copy.files)
    for (const [id, session] of copy.sessions) project.sessions.set(id, session)
    for (const other of project.runs.all) other.writable = false
    run.runIndex = project.runs.all.length + 1
    run.checkpointId = one.base.id
    this.#clear(one)
    project.runs.all.unshift(run)
    Object.assign(one, { status: 'kept', keptRunId: runId })
    return this.shown(one)
  }

  drop(one) {
    if (one.status === 'open') {
      this.#clear(one)
      one.status = 'dropped'
    }
    return this.shown(one)
  }

  /** Routes below `/v1/projects/{id}/`; undefined when there is none. */
  route(method, rest, query, body) {
    const [area, id, verb, run, diff] = rest.split('/')
    if (area !== 'comparisons') return undefined
    if (!id) return this.all.map((each) => this.shown(each))
    const one = this.find(id)
    switch (`${method} ${verb ?? ''}${diff ? '/*/diff' : ''}`) {
      case 'GET ':
        return this.shown(one)
      case 'GET candidates/*/diff': {
        const candidate = one.candidates.find((each) => each.runId === run)
        return this.#diff(one, candidate, query.get('path'))
      }
      case 'POST keep':
        return this.keep(one, body.runId)
      case 'POST drop':
        return this.drop(one)
      default:
        return undefined
    }
  }
}
