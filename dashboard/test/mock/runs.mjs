// Runs of a project of the test server: asked for, told event by event, cancelled. Plays each one with a
// small script; keeps all of it in memory.
import { randomUUID } from 'node:crypto'
import { receipt } from './agent-parts.mjs'

/** Between two steps of a run that works. */
const STEP_MS = 30

const PLAN = {
  summary: 'A page for beds, and a test that it stays.',
  todos: [
    {
      id: '1',
      title: 'Add the page',
      details: 'Beside the list of plants.',
      acceptanceCriteria: ['It answers under /beds'],
    },
    { id: '2', title: 'Test it', acceptanceCriteria: [] },
  ],
}

export const USAGE = {
  inputTokens: 42_400,
  outputTokens: 2100,
  totalTokens: 44_500,
  cachedInputTokens: 38_000,
  reasoningOutputTokens: 300,
}

export const stamp = (at = Date.now()) => new Date(at).toISOString()
export const isOver = ({ status }) => ['completed', 'error', 'cancelled'].includes(status)

export class Runs {
  constructor(project) {
    this.project = project
    /** Latest first. */
    this.all = []
    /** Runs by the key of their request. */
    this.keys = new Map()
    /** What a run that is done has left in its file. */
    this.writes = 'export const beds = []\n'
    /** A phase at which runs stand still until `go`. */
    this.holdsAt = null
  }

  find(id) {
    const run = this.all.find((each) => each.id === id)
    if (!run) throw { status: 404, code: 'not_found', message: 'run not found' }
    return run
  }

  /** A run that nothing works for. */
  add(more = {}) {
    const { meta, ...rest } = more
    for (const other of this.all) other.writable = false
    const now = stamp()
    const run = {
      id: randomUUID(),
      projectId: this.project.id,
      runIndex: this.all.length + 1,
      writable: true,
      parentRunId: null,
      status: 'queued',
      phase: 'plan',
      waitsFor: null,
      createdAt: now,
      startedAt: null,
      completedAt: null,
      updatedAt: now,
      prompt: 'Add a page for beds',
      input: null,
      output: null,
      error: null,
      usage: null,
      cost: null,
      sessionId: null,
      commitSha: null,
      checkpointId: null,
      ...rest,
      meta: {
        provider: null,
        model: null,
        modelSource: null,
        attempt: 0,
        maxAttempts: 3,
        approval: false,
        workspaceBackend: null,
        ...meta,
      },
    }
    Object.defineProperty(run, 'told', { value: { events: [], followers: new Set() } })
    this.all.unshift(run)
    return run
  }

  /** An event of a run, to all who follow it. */
  tell(run, event, data) {
    const id = run.told.events.length + 1
    const told = { id, event, data, ts: stamp() }
    run.told.events.push(told)
    run.updatedAt = told.ts
    for (const follower of run.told.followers) follower(told)
  }

  status(run, status, more = {}) {
    this.tell(run, 'status', { status, ...more })
  }

  /** A request, once for each key. */
  ask(
    { prompt, content, provider = null, model = null, approval = false, workspaceBackend = null },
    key,
  ) {
    if (!key)
      throw {
        status: 400,
        code: 'invalid_argument',
        message: 'the header Idempotency-Key is missing',
      }
    const text = prompt ?? content
    if (!text?.trim())
      throw {
        status: 400,
        code: 'invalid_argument',
        message: 'prompt is empty: say what is to be done',
      }
    const known = this.keys.get(key)
    const run =
      known ??
      this.add({
        prompt: text,
        parentRunId: content === undefined ? null : (this.all[0]?.id ?? null),
        meta: { provider, model, approval, workspaceBackend },
      })
    if (!known) {
      this.keys.set(key, run)
      this.status(run, 'queued')
      this.#later(run, () => this.#plan(run))
    }
    const { id, projectId, status, runIndex, writable, parentRunId } = run
    return { id, projectId, status, runIndex, writable, parentRunId, created: !known }
  }

  cancel(run) {
    const cancelled = run.writable && !isOver(run)
    if (cancelled) {
      this.#over(run, 'cancelled')
      this.status(run, 'cancelled')
      this.#step(run, { status: 'cancelled' })
    }
    const { id, projectId, status, writable } = run
    return { id, projectId, status, cancelled, writable }
  }

  /** What stood still goes on. */
  go() {
    this.holdsAt = null
    for (const run of this.all) run.told.held?.()
  }

  #later(run, act) {
    const held = () => {
      run.told.held = null
      if (!isOver(run)) act()
    }
    setTimeout(() => {
      if (this.holdsAt === run.phase && run.status === 'running') run.told.held = held
      else held()
    }, STEP_MS)
  }

  #step(run, more) {
    const { id, phase, sessionId } = run
    this.project.emit('run_step', sessionId, { runId: id, phase, ...more })
  }

  #tool(run, tool, input, output, op) {
    const runId = randomUUID().slice(0, 8)
    const base = { runPhase: run.phase, tool, runId }
    this.tell(run, 'tool', { phase: 'start', ...base, input })
    if (op) this.tell(run, 'file_op', { op, path: input.path, phase: run.phase })
    this.tell(run, 'tool', { phase: 'end', ...base, output, durationMs: 140 })
  }

  #say(run, words) {
    for (const token of words.match(/\S+\s*/g)) this.tell(run, 'token', { token })
  }

  #plan(run) {
    const { project } = this
    const { current } = project
    run.sessionId = project.newSession(`Run ${run.runIndex}`)
    project.current = current
    const { provider, id } = project.model
    run.meta.provider ??= provider
    run.meta.model ??= id
    run.meta.attempt = /fail/.test(run.prompt) ? 3 : 1
    run.checkpointId = project.side.take('prompt').id
    Object.assign(run, { status: 'running', startedAt: stamp() })
    this.status(run, 'running', { attempt: run.meta.attempt })
    this.status(run, 'phase_started', { phase: 'plan' })
    this.#step(run, {})
    this.#later(run, () => {
      this.#say(run, 'I look at what is there first.')
      this.#tool(run, 'read', { path: 'src/app.js' }, 'export const app = 1\n', 'read')
      this.#say(run, `\n\`\`\`json\n${JSON.stringify(PLAN)}\n\`\`\``)
      const source = 'project'
      this.status(run, 'model_resolved', {
        provider: run.meta.provider,
        model: run.meta.model,
        source,
      })
      this.status(run, 'plan_ready', { ...PLAN, planId: 'x' })
      if (!run.meta.approval) return this.#later(run, () => this.#build(run))
      project.propose(project.session(run.sessionId), PLAN)
      run.waitsFor = 'approval'
      this.status(run, 'waiting', { waitsFor: 'approval' })
      this.#step(run, { waitsFor: 'approval' })
    })
  }

  /** A plan was decided on, maybe that of a run that waits for it. */
  settled(session, state) {
    const run = this.all.find((each) => each.sessionId === session.id)
    if (state !== 'approved' || run?.waitsFor !== 'approval') return
    run.waitsFor = null
    this.status(run, 'waiting', { waitsFor: null })
    this.#build(run)
  }

  #build(run) {
    run.phase = 'build'
    this.status(run, 'phase_completed', { phase: 'plan' })
    this.status(run, 'phase_transition', { from: 'plan', to: 'build' })
    this.status(run, 'phase_started', { phase: 'build' })
    this.#step(run, {})
    this.#tool(
      run,
      'write',
      { path: 'src/beds.js', content: 'export const beds = []\n' },
      'done',
      'write',
    )
    this.#later(run, () => (/fail/.test(run.prompt) ? this.#fail(run) : this.#done(run)))
  }

  #fail(run) {
    const error = 'The model call failed: 401 Incorrect API key provided.\nSet another one.'
    Object.assign(run, { error, usage: USAGE })
    this.#over(run, 'error')
    this.tell(run, 'error', { error, attempts: 3, maxAttempts: 3 })
    this.#step(run, { status: 'error', error })
  }

  #done(run) {
    const output = 'The page is there, and a test that it stays.'
    const commitSha = '9b7de01c44aa0f3d6b1be0c2f7a9d5e8431c6f20'
    this.#tool(run, 'bash', { command: 'npm test' }, '3 passed\n')
    const checks = [{ kind: 'test', command: 'npm test', decides: true }]
    const told = { toolCallId: randomUUID(), command: 'npm test', checks }
    receipt(this.project, { id: run.sessionId }, told)
    this.project.files.set('/home/project/src/beds.js', this.writes)
    this.#say(run, output)
    this.status(run, 'rollback_snapshot', {
      touchedFiles: ['src/beds.js'],
      usage: USAGE,
      durationMs: 900,
    })
    this.status(run, 'git_commit', { commitSha })
    this.status(run, 'workspace_snapshot_stored', {
      artifactPath: 'a',
      sizeBytes: 20_480,
      fileCount: 12,
    })
    const cost = { currency: 'USD', estimatedUsd: 0.214, pricingVersion: '1' }
    Object.assign(run, { output, commitSha, usage: USAGE, cost })
    this.#over(run, 'completed')
    this.tell(run, 'done', { output, usage: USAGE, durationMs: 4200 })
    this.#step(run, { status: 'completed', commit: { result: 'made', commitSha } })
  }

  #over(run, status) {
    Object.assign(run, { status, phase: 'over', waitsFor: null, completedAt: stamp() })
  }
}
