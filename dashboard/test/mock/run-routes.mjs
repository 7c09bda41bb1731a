// The routes of runs of the test server, and a past for a project that has had some.
import { isOver, stamp, USAGE } from './runs.mjs'

/** Routes below `/v1/projects/{id}/` that answer with JSON; undefined when there is none. */
export function runRoute({ runs, comparisons, method, rest, query, body, key }) {
  const compared = comparisons.route(method, rest, query, body)
  if (compared !== undefined) return compared
  const [area, id, verb] = rest.split('/')
  switch (`${method} ${area}${id ? '/*' : ''}${verb ? `/${verb}` : ''}`) {
    case 'GET runs': {
      const offset = Number(query.get('offset') ?? 0)
      return runs.all.slice(offset, offset + Number(query.get('limit') ?? 50))
    }
    case 'POST runs':
      return body.n || body.models ? comparisons.ask(body, key) : runs.ask(body, key)
    case 'POST messages':
      return { run: runs.ask(body, key), message: { role: 'user', content: body.content } }
    case 'GET runs/*':
      return runs.find(id)
    case 'POST runs/*/cancel':
      return runs.cancel(runs.find(id))
    default:
      return undefined
  }
}

/** What a run tells, and its workspace; false when it is neither. */
export function runFile({ runs, rest, request, response }) {
  const [, id, what] = /^runs\/([^/]+)\/(stream|download\.zip)$/.exec(rest) ?? []
  if (!what) return false
  const run = runs.find(id)
  if (what === 'download.zip') {
    if (run.status !== 'completed')
      throw { status: 409, code: 'unavailable', message: 'the run is not over' }
    response.writeHead(200, {
      'content-type': 'application/zip',
      'content-disposition': `attachment; filename="run-${run.id}-workspace.zip"`,
    })
    response.end('PK')
    return true
  }
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  response.write('retry: 1000\n\n')
  const follower = (told) => {
    const { id, event, data } = told
    response.write(`event: ${event}\nid: ${id}\ndata: ${JSON.stringify(told)}\n\n`)
    if (event === 'done' || event === 'error' || data.status === 'cancelled') response.end()
  }
  for (const told of run.told.events.slice(Number(request.headers['last-event-id'] ?? 0))) {
    follower(told)
  }
  if (isOver(run)) response.end()
  run.told.followers.add(follower)
  request.socket.on('close', () => run.told.followers.delete(follower))
  return true
}

/** So many runs that are done, and one that failed before them. */
export function withRuns(project, count = 3) {
  const { runs } = project
  const add = (n, more) =>
    runs.add({
      status: 'completed',
      phase: 'over',
      createdAt: stamp(Date.now() - (count - n + 1) * 3_600_000),
      startedAt: stamp(Date.now() - (count - n + 1) * 3_600_000),
      completedAt: stamp(Date.now() - (count - n + 1) * 3_600_000 + 42_000),
      prompt: `Mend the fence, part ${n}`,
      usage: USAGE,
      meta: { provider: 'anthropic', model: 'claude-opus-4-6', attempt: 1 },
      ...more,
    })
  const failed = add(0, {
    status: 'error',
    prompt: 'Move the shed',
    error: 'The model call failed: 401 Incorrect API key provided.\nSet another one.',
    meta: { provider: 'openai', model: 'gpt-5', attempt: 3 },
  })
  runs.tell(failed, 'error', { error: failed.error, attempts: 3, maxAttempts: 3 })
  for (let n = 1; n <= count; n += 1) {
    runs.tell(add(n, n % 2 ? { cost: { currency: 'USD', estimatedUsd: 0.21 } } : {}), 'done', {
      durationMs: 42_000,
    })
  }
}
