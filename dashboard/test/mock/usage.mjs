// Usage of the test server: calls added up as the server does, from a list of them in memory.

const DAY_MS = 86_400_000
const day = (at) => new Date(at).toISOString().slice(0, 10)
const sum = (calls, field) => calls.reduce((all, call) => all + (call[field] ?? 0), 0)

function figures(calls) {
  const priced = calls.filter((call) => call.costUsd !== null)
  return {
    calls: calls.length,
    failed: calls.filter((call) => call.failed).length,
    input: sum(calls, 'input'),
    output: sum(calls, 'output'),
    cacheRead: sum(calls, 'cacheRead'),
    cacheWrite: 0,
    costUsd: calls.length > 0 && priced.length === 0 ? null : sum(priced, 'costUsd'),
    unpriced: calls.length - priced.length,
  }
}

/** What a row is told by. */
const TOLD = {
  day: (call) => ({ key: day(call.at) }),
  project: (call, world) => ({
    key: call.project,
    name: world.projects.get(call.project)?.name ?? call.was ?? null,
    deleted: call.project !== null && !world.projects.has(call.project),
  }),
  session: (call) => ({ key: call.session, name: call.sessionName, project: call.project }),
  run: (call) => ({
    key: call.run,
    name: call.prompt,
    session: call.session,
    project: call.project,
  }),
  model: (call) => ({ key: call.model, provider: call.provider }),
  provider: (call) => ({ key: call.provider }),
}

const NO_BOUND = { runUsd: null, monthUsd: null, totalUsd: null }

/** Routes of usage, budgets, model limits and a project's fallbacks; undefined when it is none of them. */
export function costRoute(world, method, path, query, body) {
  const [, id, what] =
    /^(?:projects\/([^/]+)\/)?(usage|budget|model-limits|fallbacks)$/.exec(path) ?? []
  const project = id === undefined ? null : world.projects.get(id)
  if (!what || project === undefined) return undefined
  if (what === 'usage') return usageRoute(world, query, id ?? null)
  if (what === 'fallbacks') {
    const own = (project.side.fallbacks ??= {})
    for (const [model, others] of Object.entries(body?.chains ?? {})) {
      if (others === null) delete own[model]
      else own[model] = others
    }
    const of = Object.entries(world.fallbacks.chains).filter(([model]) => !(model in own))
    return { chains: own, inherited: Object.fromEntries(of), unlisted: [] }
  }
  if (what === 'budget') {
    world.budget ??= { ...NO_BOUND, spent: { monthUsd: 8.1, totalUsd: 8.1 } }
    const budget = project ? project.side.budget : world.budget
    return method === 'PUT' ? Object.assign(budget, body) : budget
  }
  return method === 'PUT' ? Object.assign(project.side.modelLimits, body) : project.side.modelLimits
}

/** `GET usage`, and that of a project. */
function usageRoute(world, query, project = null) {
  const by = query.get('by') ?? (project ? 'day' : 'project')
  const to = query.get('to') ?? day(Date.now())
  const from = query.get('from') ?? day(Date.now() - 29 * DAY_MS)
  const calls = world.calls.filter(
    (call) =>
      (project === null || call.project === project) && day(call.at) >= from && day(call.at) <= to,
  )
  const groups = new Map()
  for (const call of calls) {
    const told = JSON.stringify(TOLD[by](call, world))
    groups.set(told, [...(groups.get(told) ?? []), call])
  }
  const rows = [...groups].map(([told, each]) => ({ ...JSON.parse(told), ...figures(each) }))
  rows.sort((a, b) =>
    by === 'day' ? a.key.localeCompare(b.key) : (b.costUsd ?? 0) - (a.costUsd ?? 0),
  )
  return { from, to, by, rows, truncated: false, total: figures(calls) }
}

/** Some weeks of calls of a project, of one that is gone, and of a program outside. */
export function withCalls(world, project) {
  const session = project.session()
  const call = (daysAgo, more) => ({
    at: Date.now() - daysAgo * DAY_MS,
    project: project.id,
    session: session.id,
    sessionName: session.name ?? 'Beds and paths',
    run: 'r1',
    prompt: 'Build a task app that keeps its data',
    provider: 'anthropic',
    model: 'claude-opus-4-6',
    failed: false,
    input: 12_400,
    cacheRead: 88_000,
    output: 2_100,
    costUsd: 0.21,
    ...more,
  })
  for (let n = 0; n < 40; n += 1) world.calls.push(call(n % 23, { costUsd: 0.02 * (n % 7) }))
  world.calls.push(
    call(1, { run: 'r2', prompt: 'Make the header sticky', costUsd: 1.4, failed: true }),
    call(2, { model: 'some-new-model', costUsd: null }),
    call(3, { session: null, sessionName: null, run: null, prompt: null, costUsd: 0.5 }),
    call(4, { project: 'pgone0000000', was: 'Old shop', costUsd: 3 }),
    call(5, { project: null, session: null, provider: 'openai', model: 'gpt-5', costUsd: 0.9 }),
  )
}
