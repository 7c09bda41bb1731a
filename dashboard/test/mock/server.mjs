// A small server for tests of the dashboard: serves the built app under the real policy, and answers
// docs/http-api.md from memory. Not part of the product.
import { keyRoute } from './api-keys.mjs'
import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'
import { Agent } from './agent.mjs'
import { bodyOf } from './body.mjs'
import { bridgeRoute } from './bridge.mjs'
import { Comparisons } from './comparisons.mjs'
import { asset, DIST, preview } from './files.mjs'
import { doctor } from './host.mjs'
import { machineRoute } from './machine-routes.mjs'
import { DEMO, MODELS, providersOf } from './models.mjs'
import { Project } from './project.mjs'
import { runFile, runRoute } from './run-routes.mjs'
import { bigSession } from './scripts.mjs'
import { costRoute } from './usage.mjs'

export async function startMock({
  keys = ['anthropic'],
  signedIn = true,
  projects = true,
  pace = 1,
  dist = DIST,
  backends = ['native'],
} = {}) {
  const world = {
    signedIn,
    pace,
    projects: new Map(),
    agents: new Map(),
    down: false,
    images: [
      {
        key: 'host',
        name: 'host',
        kind: 'host',
        source: null,
        createdAt: 0,
        bytes: null,
        state: 'ready',
        default: true,
      },
    ],
    previews: 0,
    /** Model calls, for what is added up. */
    calls: [],
    settings: {
      defaultProvider: null,
      defaultModel: null,
      defaultThinkingLevel: null,
      localModels: true,
      theme: null,
    },
    user: {
      id: 'u1',
      name: 'Admin',
      email: 'admin@example.org',
      role: 'admin',
      hasPassword: false,
    },
    fallbacks: { chains: {}, firstByteS: 60, fromFile: [], unlisted: [] },
    keys: new Map(keys.map((id) => [id, { source: 'env', hint: '…x7Qa' }])),
  }
  const demoOnly = () => world.keys.size === 0
  const defaultModel = () => (demoOnly() ? DEMO : MODELS.find((m) => world.keys.has(m.provider)))
  const ref = (m) => ({ provider: m.provider, id: m.id, name: m.name, demo: m.demo ?? false })
  world.model = (provider, id) =>
    ref(
      [...MODELS, DEMO].find((m) => m.provider === provider && m.id === id) ?? {
        provider,
        id,
        name: id,
      },
    )
  world.create = (name, more = {}) => {
    const id = `p${Math.random().toString(36).slice(2).padEnd(11, '0').slice(0, 11)}`
    const project = new Project({ id, name, model: ref(defaultModel()), ...more })
    world.projects.set(id, project)
    world.agents.set(id, new Agent(project, pace))
    project.comparisons = new Comparisons(world, project)
    return project
  }
  world.big = (project, turns) => bigSession(project, turns)
  if (projects) {
    world.create('Ledger import', { state: 'stopped', ago: 9 * 86_400_000 })
    world.create('Notes to slides', { state: 'cold', ago: 3 * 3_600_000 })
    world.create('Garden planner', { ago: 4 * 60_000 })
  }

  const providers = () => providersOf(world.keys)

  const routes = {
    'GET me': () => ({
      user: world.user,
      server: {
        version: '0.1.0',
        host: 'workshop',
        previewPattern: `http://{label}.localhost:${port}`,
        backend: 'native',
        backends,
        demoOnly: demoOnly(),
      },
    }),
    'PATCH me': (_, body) => {
      const { password, currentPassword: _old, ...change } = body
      Object.assign(world.user, change, password ? { hasPassword: true } : {})
      return { user: world.user }
    },
    'POST auth/password': (_, body) => {
      if (body.password !== 'correct horse')
        throw {
          status: 401,
          code: 'unauthenticated',
          message: 'E-mail or password is wrong. Try again, or use the link that toft up printed.',
        }
      world.signedIn = true
      return { user: world.user }
    },
    'POST auth/sign-out': () => {
      world.signedIn = false
      return {}
    },
    'GET projects': () =>
      [...world.projects.values()]
        .filter((p) => !p.candidateOf)
        .map((p) => p.wire())
        .toSorted((a, b) => b.updatedAt.localeCompare(a.updatedAt)),
    'POST projects': (_, body) => ({
      ...world.create(body.name ?? 'Untitled', { image: body.image ?? 'host' }).wire(),
      created: true,
    }),
    'GET images': () => ({ images: world.images }),
    'GET settings': () => world.settings,
    'PUT settings': (_, body) => Object.assign(world.settings, body),
    'GET providers': providers,
    'GET keys-file': () => ({ path: null, problem: null }),
    'GET fallbacks': () => world.fallbacks,
    'PUT fallbacks': (_, { chains = {}, firstByteS }) => {
      const all = Object.entries({ ...world.fallbacks.chains, ...chains })
      world.fallbacks.chains = Object.fromEntries(all.filter(([, others]) => others?.length))
      world.fallbacks.firstByteS = firstByteS ?? world.fallbacks.firstByteS
      return world.fallbacks
    },
    'GET models': () => ({
      default: ref(defaultModel()),
      defaultThinkingLevel: 'medium',
      models: [...MODELS.filter((m) => world.keys.has(m.provider)), DEMO],
      providers: providers().filter((p) => p.configured),
    }),
    'GET doctor': () => doctor(backends),
  }

  const v1 = (method, path, body, query, idempotencyKey) => {
    const fixed = routes[`${method} ${path}`]
    if (fixed) return fixed(null, body)
    const cost = costRoute(world, method, path, query, body) ?? keyRoute(world, method, path, body)
    if (cost !== undefined) return cost
    const key = /^providers\/(\w+)\/(key|test)$/.exec(path)
    if (key) {
      if (key[2] === 'test')
        return key[1] === 'openai'
          ? {
              ok: false,
              message:
                '401 Incorrect API key provided: sk-…9f2. You can find your API key at https://platform.openai.com/account/api-keys.',
              latencyMs: 412,
            }
          : { ok: true, message: 'It answers.', latencyMs: 380 }
      if (method === 'PUT')
        world.keys.set(key[1], { source: 'settings', hint: `…${body.key.slice(-4)}` })
      else world.keys.delete(key[1])
      return providers().find((p) => p.id === key[1])
    }
    const one = /^projects\/([^/]+)(?:\/(.+))?$/.exec(path)
    const project = one && world.projects.get(one[1])
    if (!project)
      throw { status: 404, code: 'not_found', message: 'There is nothing at this address.' }
    switch (`${method} ${one[2] ?? ''}`) {
      case 'GET ':
        return { ...project.wire(), candidateOf: project.candidateOf ?? null }
      case 'PATCH ':
        project.name = body.name
        return project.wire()
      case 'DELETE ':
        world.projects.delete(project.id)
        return { id: project.id, deleted: true }
      case 'GET machine':
        return project.machine()
      case 'POST start':
      case 'POST wake':
        project.state = 'running'
        return project.machine()
      case 'POST stop':
        for (const session of project.sessions.values())
          world.agents.get(project.id).abort(session, false)
        project.state = 'stopped'
        return project.machine()
      case 'POST preview':
        if (project.state !== 'running') project.state = 'running'
        return {
          url: `http://${body.port ? `${body.port}-` : ''}${project.id}.localhost:${port}/`,
          expiresAt: new Date().toISOString(),
        }
      default: {
        const rest = one[2] ?? ''
        const data =
          runRoute({
            runs: project.runs,
            comparisons: project.comparisons,
            method,
            rest,
            query,
            body,
            key: idempotencyKey,
          }) ?? machineRoute({ world, project, method, rest, query, body })
        if (data !== undefined) return data
        throw { status: 404, code: 'not_found', message: 'There is nothing at this address.' }
      }
    }
  }

  const server = createServer((request, response) => void handle(request, response))
  const handle = async (request, response) => {
    const url = new URL(request.url, 'http://x')
    if (world.down) return request.socket.destroy()
    if (/\.localhost/.test(request.headers.host ?? '')) {
      if (request.headers['sec-fetch-dest'] === 'iframe') world.previews += 1
      return preview(request, response)
    }
    if (!url.pathname.startsWith('/v1/')) return asset(dist, url.pathname, response)
    const raw = await bodyOf(request)
    if (raw === null) return
    const json = (status, value) => {
      response.writeHead(status, {
        'content-type': 'application/json',
        'cache-control': 'no-store',
      })
      response.end(JSON.stringify(value))
    }
    const meta = { apiVersion: 'v1', ts: new Date().toISOString() }
    try {
      const path = decodeURIComponent(url.pathname.slice(4))
      if (!world.signedIn && !path.startsWith('auth/'))
        throw { status: 401, code: 'unauthenticated', message: 'Sign in first.' }
      const toft = /^projects\/([^/]+)\/toft\/(.*)$/.exec(path)
      if (toft) {
        const project = world.projects.get(toft[1])
        if (!project) throw { status: 404, code: 'not_found', message: 'There is no such project.' }
        return bridgeRoute({
          world,
          project,
          agent: world.agents.get(project.id),
          method: request.method,
          path: toft[2],
          url,
          raw,
          request,
          response,
          json,
        })
      }
      const [, of, rest] = /^projects\/([^/]+)\/(.+)$/.exec(path) ?? []
      const { runs } = world.projects.get(of) ?? {}
      if (runs && runFile({ runs, rest, request, response })) return
      const body = raw.length > 0 ? JSON.parse(raw.toString()) : {}
      const key = request.headers['idempotency-key']
      const data = await v1(request.method, path, body, url.searchParams, key)
      json(200, { ok: true, data, meta })
    } catch (error) {
      if (!error.code) console.error(error)
      json(error.status ?? 500, {
        ok: false,
        error: { code: error.code ?? 'internal', message: error.message },
        meta,
      })
    }
  }

  const sockets = new WebSocketServer({ noServer: true })
  server.on('upgrade', (request, socket, head) => {
    const parts = /projects\/([^/]+)\/toft\/terminals\/([^/?]+)/.exec(request.url)
    const terminal = parts && world.projects.get(parts[1])?.terminals.get(parts[2])
    if (!terminal || world.down) return socket.destroy()
    sockets.handleUpgrade(request, socket, head, (ws) => terminal.attach(ws))
  })
  /** As a server that was killed: connections break, new ones are refused. */
  world.cut = () => {
    world.down = true
    server.closeAllConnections()
    for (const ws of sockets.clients) ws.terminate()
  }
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  return {
    world,
    port,
    url: `http://127.0.0.1:${port}`,
    close: () => {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(resolve))
    },
  }
}
