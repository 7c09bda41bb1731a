// The scripted agent of the test server: emits what a bridge would, with small waits.
import { randomUUID } from 'node:crypto'
import { NO_USAGE, USAGE } from './project.mjs'
import { askedAbout, helped } from './helper.mjs'
import { SET, bindingsOf, decided } from './secrets.mjs'

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

function sum(a, b) {
  const total = { ...b }
  for (const key of ['input', 'output', 'cacheRead', 'cacheWrite', 'totalTokens']) {
    total[key] = a[key] + b[key]
  }
  if (a.cost ?? b.cost) total.cost = { total: (a.cost?.total ?? 0) + (b.cost?.total ?? 0) }
  return total
}

export class Agent {
  constructor(project, pace = 1) {
    this.project = project
    this.pace = pace
  }

  /** Takes a prompt: runs it, or lets it wait. */
  prompt(session, text, behaviour) {
    if (session.run) {
      session[behaviour === 'steer' ? 'steering' : 'followUp'].push(text)
      this.project.queueChanged(session)
      return behaviour === 'steer' ? 'steer' : 'followUp'
    }
    this.begin(session)
    void this.#work(session, text)
    return null
  }

  /** Asks again in place of an answer that failed or was stopped; says whether there is one. */
  again(session) {
    const reason = session.messages.at(-1)?.message.stopReason
    if (session.run || (reason !== 'error' && reason !== 'aborted')) return false
    this.begin(session)
    void this.#work(session, null)
    return true
  }

  begin(session) {
    session.run = {
      stopped: false,
      started: Date.now(),
      turns: 0,
      tools: 0,
      changed: [],
      usage: NO_USAGE,
    }
    session.status = 'working'
    this.project.updatedAt = new Date().toISOString()
    this.project.emit('agent_start', session.id, {})
  }

  abort(session, clear) {
    const waiting = { steering: session.steering, followUp: session.followUp }
    if (clear) {
      session.steering = []
      session.followUp = []
      this.project.queueChanged(session)
    }
    if (session.run) session.run.stopped = true
    session.question?.answer?.(null)
    return waiting
  }

  async #work(session, first) {
    const { project } = this
    let text = first
    let reason = 'done'
    while (text !== undefined) {
      if (text !== null) project.add(session, { role: 'user', content: text })
      await wait(30 * this.pace)
      try {
        if (text === null) await this.turn(session, ['This time it went well.'])
        else await this.#script(session, text)
      } catch (error) {
        reason = error.message === 'stopped' ? 'aborted' : 'error'
        break
      }
      text = session.steering.shift() ?? session.followUp.shift()
      if (text !== undefined) project.queueChanged(session)
    }
    const { run } = session
    session.run = null
    session.status = reason === 'error' ? 'error' : 'idle'
    const { demo } = session.model
    project.emit('agent_end', session.id, {
      reason,
      usage: run.usage,
      turns: run.turns,
      tools: run.tools,
      changed: run.changed,
      ...(run.claims ? { claims: run.claims } : {}),
      durationMs: Date.now() - run.started,
      demo,
    })
  }

  async #script(session, text) {
    const t = text.toLowerCase()
    const { scripts } = await import('./scripts.mjs')
    const script = scripts.find(([pattern]) => pattern.test(t))?.[1] ?? scripts.at(-1)[1]
    await script(this, session, text)
  }

  #check(session) {
    if (session.run?.stopped) throw new Error('stopped')
  }

  /** One model call: blocks are strings (text), {thinking}, {tool, input}. Runs the tools after it. */
  async turn(session, blocks, { error } = {}) {
    const { project } = this
    session.run.turns += 1
    const messageId = randomUUID().slice(0, 8)
    session.open = project.seq
    project.emit('turn_start', session.id, {})
    project.emit('message_start', session.id, { messageId, role: 'assistant' })
    const content = []
    const calls = []
    let stop = 'stop'
    try {
      for (const [contentIndex, block] of blocks.entries()) {
        const say = (data) =>
          project.emit('message_update', session.id, { messageId, contentIndex, ...data })
        if (typeof block === 'string' || block.thinking) {
          const kind = typeof block === 'string' ? 'text' : 'thinking'
          const whole = block.thinking ?? block
          say({ type: `${kind}_start` })
          const made = { type: kind, [kind]: '' }
          content.push(made)
          for (const piece of whole.match(/\S+\s*|\s+/g) ?? []) {
            made[kind] += piece
            say({ type: `${kind}_delta`, delta: piece })
            await wait(14 * this.pace)
            await this.pause(session, piece)
            this.#check(session)
          }
          say({ type: `${kind}_end` })
        } else {
          const id = `call_${randomUUID().slice(0, 8)}`
          say({ type: 'toolcall_start', id, toolName: block.tool })
          const json = JSON.stringify(block.input)
          for (let at = 0; at < json.length; at += 60) {
            say({ type: 'toolcall_delta', delta: json.slice(at, at + 60) })
            await wait(6 * this.pace)
          }
          const toolCall = { id, name: block.tool, arguments: block.input }
          say({ type: 'toolcall_end', toolCall })
          content.push({ type: 'toolCall', ...toolCall })
          calls.push({ ...block, id })
          stop = 'toolUse'
        }
      }
      if (error) throw new Error(error)
    } catch (cause) {
      const aborted = cause.message === 'stopped'
      project.add(
        session,
        this.#assistant(session, content, aborted ? 'aborted' : 'error', cause.message),
        messageId,
      )
      throw cause
    }
    const message = this.#assistant(session, content, stop)
    project.add(session, message, messageId)
    session.contextTokens = (session.contextTokens ?? 4200) + 3260
    for (const call of calls) await this.#tool(session, call)
    project.emit('turn_end', session.id, { message, toolResults: calls.length })
  }

  #assistant(session, content, stopReason, error) {
    const { demo, provider, id } = session.model
    // A call that failed used nothing.
    const usage = demo || stopReason === 'error' ? NO_USAGE : USAGE
    session.run.usage = sum(session.run.usage, usage)
    return {
      role: 'assistant',
      content,
      api: demo ? 'scripted' : 'anthropic-messages',
      provider,
      model: id,
      usage,
      stopReason,
      ...(stopReason === 'error' ? { errorMessage: error } : {}),
      timestamp: Date.now(),
    }
  }

  async #tool(
    session,
    {
      tool,
      input,
      id,
      output = '',
      took = 80,
      fails = false,
      details,
      live,
      effect,
      ask,
      may,
      task,
    },
  ) {
    const { project } = this
    const toolCallId = id
    session.run.tools += 1
    const child = task
      ? project.session(
          project.newSession(input.description, {
            parent: session.id,
            callId: id,
          }),
        )
      : null
    project.emit('tool_start', session.id, {
      toolCallId,
      toolName: tool,
      input,
      ...(child ? { childSession: child.id } : {}),
    })
    let result = output
    if (may) {
      const answer = await askedAbout(project, session, { ...may, toolCallId })
      if (answer === null || /^(Deny|Go on without it)$/.test(answer)) {
        result = answer === null ? 'Stopped.' : 'A person does not allow this call.'
        fails = true
        details = may.kind === 'doubt' ? { doubt: true } : { denied: true }
      }
    }
    if (child) {
      const end = await helped(this, child, session, toolCallId, task)
      result = end.text
      fails = end.reason !== 'done'
      details = end.details
    }
    if (tool === 'todo') {
      session.todos = input.items
      details = { items: input.items }
    }
    if (ask) {
      session.status = 'waiting'
      const secrets = tool === 'ask_secrets' ? input.names : undefined
      const question = {
        question: input.question ?? input.reason,
        options: input.options ?? [],
        ...(secrets ? { secrets, bindings: bindingsOf(input.bindings) } : {}),
        toolCallId,
      }
      project.emit('question', session.id, question)
      result = await new Promise((answer) => {
        session.question = { ...question, answer }
      })
      session.question = null
      session.status = 'working'
      if (secrets)
        details = result === SET ? decided(project, secrets) : { missing: secrets, answer: result }
    }
    const started = Date.now()
    await this.pause(session, input.command ?? '')
    for (const piece of live ?? []) {
      project.emit('tool_update', session.id, { toolCallId, toolName: tool, delta: piece })
      await wait((took / live.length) * this.pace)
      await this.pause(session, piece)
      if (session.run?.stopped) break
    }
    if (!live) await wait(took * this.pace)
    effect?.(project, session)
    if (tool === 'write' || tool === 'edit') {
      if (!session.run.changed.includes(input.path)) session.run.changed.push(input.path)
      if (tool === 'write') project.files.set(`/home/project/${input.path}`, input.content)
    }
    const message = {
      role: 'toolResult',
      toolCallId,
      toolName: tool,
      content: [{ type: 'text', text: result ?? 'Stopped.' }],
      ...(details ? { details } : {}),
      isError: fails,
      timestamp: Date.now(),
    }
    project.emit('tool_end', session.id, {
      toolCallId,
      toolName: tool,
      result: message,
      isError: fails,
      durationMs: Date.now() - started,
    })
    project.add(session, message)
    this.#check(session)
  }

  async retry(session, why) {
    const { project } = this
    project.emit('auto_retry_start', session.id, {
      attempt: 1,
      maxAttempts: 3,
      delayMs: 1500 * this.pace,
      errorMessage: why,
    })
    await this.pause(session, why)
    await wait(1500 * this.pace)
    project.emit('auto_retry_end', session.id, { success: true, attempt: 1, finalError: null })
  }

  wait(ms) {
    return wait(ms * this.pace)
  }

  /** Stands still at what a test wants to look at, until the test lets go or stops it. */
  async pause(session, at) {
    const stands = () => this.project.pausesAt?.test(at) && !session.run.stopped
    while (stands()) await wait(10)
  }
}
