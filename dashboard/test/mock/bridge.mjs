// The bridge's routes of the test server (docs/http-api.md §2).
import { randomUUID } from 'node:crypto'
import { partsRoute } from './agent-parts.mjs'
import { treeRoute } from './tree.mjs'

/** What is read of a machine that rests; no other look is answered then, and none wakes it. */
const AT_REST =
  /^(events|messages|inspect|state|sessions|processes|terminals|services|activity|receipts|services\/[^/]+\/log|files|files\/content)$/

export function bridgeRoute({
  world,
  project,
  agent,
  method,
  path,
  url,
  raw,
  request,
  response,
  json,
}) {
  const query = url.searchParams
  const body = raw.length > 0 && path !== 'files/content' ? JSON.parse(raw.toString()) : {}
  const rpc = (data, command = path, status = 200) =>
    json(status, { type: 'response', command, success: true, data })
  const fail = (status, code, error) =>
    json(status, { type: 'response', command: path, success: false, error, code })
  const session = project.session(body.sessionId ?? query.get('sessionId') ?? undefined)
  const name = `${method} ${path}`

  project.side.calls.push(`${method} toft/${path}`)
  if (project.state !== 'running' && method === 'GET') {
    if (!AT_REST.test(path)) return fail(409, 'unavailable', 'Only a running machine can say this.')
  } else if (project.state !== 'running') {
    if (project.state === 'stopped')
      return fail(409, 'unavailable', 'The machine is stopped. Start it first.')
    project.state = 'running'
  }
  if (!session) return fail(404, 'session_not_found', 'There is no such session.')

  const terminal = /^terminals\/(.+)$/.exec(path)
  const output = /^processes\/([^/]+)\/output$/.exec(path)
  const process = /^processes\/([^/]+)$/.exec(path)
  if (terminal && method === 'DELETE') {
    project.terminals.get(terminal[1])?.end()
    return rpc({})
  }
  const tree = /^sessions\/([^/]+)\/(tree|navigate|fork|label|mode|plan|export\.html)$/.exec(path)
  if (tree) {
    const of = project.session(tree[1])
    if (!of) return fail(404, 'session_not_found', 'There is no such session.')
    return treeRoute({ project, agent, session: of, verb: tree[2], body, response, rpc, fail })
  }
  const service = /^services\/([^/]+)\/(\w+)$/.exec(path)
  if (service && service[2] === 'log')
    return rpc(serviceLog(project, service[1], query.get('from')))
  if (service && method === 'POST') return rpc(project.side.service(service[1], service[2]))
  if (output) return processOutput(project, output[1], response, request)
  if (process && method === 'DELETE') {
    const found = project.processes.find((p) => p.id === process[1])
    if (found) found.exit = { code: null, signal: 15 }
    return rpc({})
  }

  const part = partsRoute(project, name, query)
  if (part) return rpc(part, path, method === 'POST' ? 202 : 200)
  switch (name) {
    case 'GET events':
      return events(project, Number(query.get('after') ?? project.seq), response, request)
    case 'GET state':
      return rpc(project.stateOf(session), 'get_state')
    case 'GET messages':
      return rpc(project.messagesOf(session), 'get_messages')
    case 'GET inspect':
      return json(200, project.inspect)
    case 'GET sessions':
      return rpc(project.sessionList(query.get('tasks') === 'true'), 'list_sessions')
    case 'POST sessions/new':
      return rpc(
        { sessionId: project.newSession(body.name), sessionFile: '', cancelled: false },
        'new_session',
      )
    case 'POST sessions/compact':
      if (!project.compacts)
        return fail(409, 'nothing_to_compact', 'The conversation is too short to be summed up.')
      session.contextTokens = 3100
      project.emit('compaction_start', session.id, { reason: 'manual' })
      project.emit('compaction_end', session.id, {
        reason: 'manual',
        summary: 'A task app was built.',
        tokensBefore: 17_000,
        errorMessage: null,
      })
      return rpc({ summary: 'A task app was built.' })
    case 'POST prompt':
    case 'POST steer': {
      const key = request.headers['idempotency-key']
      if (!key) return fail(400, 'invalid_argument', 'The dashboard names every message.')
      const known = project.said.get(key)
      if (known && (known.message !== body.message || known.sessionId !== session.id))
        return fail(409, 'conflict', 'Another message was sent under this Idempotency-Key before.')
      project.keys.push(key)
      if (project.silent !== 'before' && !known) {
        const how = path === 'steer' ? 'steer' : body.streamingBehavior
        const queued = agent.prompt(session, body.message, how)
        project.said.set(key, { message: body.message, sessionId: session.id, queued })
      }
      if (project.silent) {
        const message = 'whether the message was taken is not known (the bridge hangs)'
        return json(502, { ok: false, error: { code: 'outcome_unknown', message }, meta: {} })
      }
      const { queued } = project.said.get(key)
      return rpc(
        { sessionId: session.id, queued, ...(known ? { repeated: true } : {}) },
        path,
        path === 'prompt' ? 202 : 200,
      )
    }
    case 'POST abort':
      return rpc({ sessionId: session.id, ...agent.abort(session, body.clearQueue) }, 'abort')
    case 'POST retry':
      return agent.again(session)
        ? rpc({ sessionId: session.id }, 'retry', 202)
        : fail(409, 'nothing_to_retry', 'There is nothing to retry.')
    case 'POST queue':
      session.steering = body.steering
      session.followUp = body.followUp
      project.queueChanged(session)
      return rpc({ steering: body.steering, followUp: body.followUp })
    case 'POST answer':
      if (![session.question?.toolCallId, session.question?.id].includes(body.toolCallId))
        return fail(404, 'not_found', 'That question is not open any more.')
      session.question.answer(body.answer)
      return rpc({})
    case 'POST config':
      if (body.modelId) {
        session.model = world.model(body.provider, body.modelId)
        project.emit('model_change', session.id, {
          provider: body.provider,
          id: body.modelId,
          demo: session.model.demo,
        })
      }
      if (body.thinkingLevel) {
        session.thinkingLevel = body.thinkingLevel
        project.emit('thinking_level_change', session.id, { level: body.thinkingLevel })
      }
      for (const key of Object.keys(project.parts.settings)) {
        if (key in body) project.parts.settings[key] = body[key]
      }
      if (body.checkCommand === '') project.parts.settings.checkCommand = null
      return rpc(project.stateOf(session), 'set_config')
    case 'GET terminals':
      return rpc({
        terminals: [...project.terminals.values()].map((t) => ({
          id: t.id,
          label: 'bash',
          cols: 80,
          rows: 24,
          pid: 9,
          startedAt: Date.now(),
        })),
      })
    case 'POST terminals': {
      const made = new Terminal(project)
      project.terminals.set(made.id, made)
      return rpc({ id: made.id })
    }
    case 'GET services':
      return rpc({ services: project.side.services() })
    case 'GET processes':
      return rpc({ processes: project.processes })
    case 'GET files':
      return files(project, query.get('path') ?? '/home/project', rpc, fail)
    case 'GET files/content': {
      const content = project.files.get(query.get('path'))
      if (content === undefined) return fail(404, 'not_found', 'There is no such file.')
      response.writeHead(200, { 'content-type': 'text/plain' })
      return response.end(content)
    }
    case 'PUT files/content':
      project.files.set(query.get('path'), raw.toString())
      return rpc({ path: query.get('path'), size: raw.length })
    case 'DELETE files':
      project.files.delete(query.get('path'))
      return rpc({})
    default:
      return fail(404, 'not_found', 'There is nothing at this address.')
  }
}

function sse(response) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  return (event, data, id) =>
    response.write(`event: ${event}\n${id ? `id: ${id}\n` : ''}data: ${JSON.stringify(data)}\n\n`)
}

function events(project, after, response, request) {
  const send = sse(response)
  send('hello', { seq: project.seq, project: project.id, version: '0.1.0' })
  for (const event of project.events.slice(after)) send(event.kind, event.data, event.seq)
  const follow = (event) => send(event.kind, event.data, event.seq)
  project.subscribers.add(follow)
  request.socket.on('close', () => project.subscribers.delete(follow))
}

function processOutput(project, id, response, request) {
  const send = sse(response)
  const text = 'Listening on http://localhost:3000\n'
  send('output', { text, from: 0, to: text.length })
  let at = text.length
  const timer = setInterval(() => {
    const process = project.processes.find((p) => p.id === id)
    if (process?.exit) {
      send('exit', process.exit)
      response.end()
      clearInterval(timer)
      return
    }
    const line = `GET /api/tasks 200 ${(at % 7) + 1} ms\n`
    send('output', { text: line, from: at, to: at + line.length })
    at += line.length
  }, 700)
  request.socket.on('close', () => clearInterval(timer))
}

/** Each look finds one more line. */
function serviceLog(project, id, from) {
  const { logs } = project.side
  const line = `GET /api/tasks 200 ${(project.seq % 7) + 1} ms\n`
  const all = `${logs.get(id) ?? 'Listening on http://localhost:3000\n'}${line}`
  logs.set(id, all)
  const at = from === null ? 0 : Number(from)
  return { text: all.slice(at), from: at, to: all.length, first: 0, end: all.length }
}

function files(project, path, rpc, fail) {
  const folder = path.replace(/\/$/, '')
  const names = new Map()
  for (const [file, content] of project.files) {
    if (!file.startsWith(`${folder}/`)) continue
    const [name, ...rest] = file.slice(folder.length + 1).split('/')
    names.set(
      name,
      rest.length > 0
        ? { name, type: 'dir', size: 0 }
        : { name, type: 'file', size: content.length },
    )
  }
  if (names.size === 0 && folder !== '/home/project')
    return fail(404, 'not_found', 'There is no such folder.')
  return rpc({
    path: folder,
    type: 'dir',
    size: 0,
    modifiedAt: Date.now(),
    mode: 0o755,
    entries: [...names.values()].map((e) => ({ ...e, modifiedAt: Date.now() })),
  })
}

/** A shell of sorts: echoes, and answers a few words. */
class Terminal {
  constructor(project) {
    this.id = randomUUID().slice(0, 8)
    this.project = project
    this.kept = `\u001B[32mroot@${project.name.toLowerCase().replaceAll(/\W+/g, '-')}\u001B[0m:\u001B[34m~\u001B[0m# `
    this.prompt = this.kept
    this.line = ''
    this.clients = new Set()
  }

  attach(ws) {
    this.clients.add(ws)
    ws.send(Buffer.from(this.kept))
    ws.on('close', () => this.clients.delete(ws))
    ws.on('message', (data, binary) => {
      if (!binary) {
        this.size = JSON.parse(data.toString())
        return
      }
      for (const char of data.toString()) this.#key(char)
    })
  }

  #key(char) {
    if (char === '\r') {
      const line = this.line.trim()
      this.line = ''
      if (line === 'exit') return this.end()
      const answers = {
        ls: '\u001B[34mnode_modules\u001B[0m  README.md  server.mjs  tasks.db\r\n',
        size: `${this.size?.cols}x${this.size?.rows}\r\n`,
        pwd: '/home/project\r\n',
      }
      this.#print(`\r\n${answers[line] ?? (line ? `${line}\r\n` : '')}${this.prompt}`)
    } else if (char === '\u007F') {
      if (this.line) this.#print('\b \b')
      this.line = this.line.slice(0, -1)
    } else {
      this.line += char
      this.#print(char)
    }
  }

  #print(text) {
    this.kept += text
    for (const ws of this.clients) ws.send(Buffer.from(text))
  }

  end() {
    for (const ws of this.clients) {
      ws.send(JSON.stringify({ type: 'exit', code: 0, signal: null }))
      ws.close()
    }
    this.project.terminals.delete(this.id)
  }
}
