// The routes of a project's machine of the test server.
import { signInRoute } from './agent-parts.mjs'
import { held } from './machine.mjs'
import { networkRoute } from './network.mjs'
import { secretRoute } from './secrets.mjs'

/** A copy of the project, with its conversations and files. */
export function fork(world, project, from, name) {
  const copy = world.create(name)
  const kept = from ? project.side.held.get(from.id) : held(project)
  copy.events = []
  copy.emit('forked', null, { from: project.id, seq: project.seq, checkpointId: from?.id ?? null })
  copy.sessions = new Map(
    [...project.sessions.values()].map((s) => [
      s.id,
      {
        ...s,
        messages: kept.talks.get(s.id)?.slice() ?? [],
        run: null,
        status: 'idle',
      },
    ]),
  )
  copy.current = project.current
  copy.files = new Map(kept.files)
  copy.inspect = kept.inspect
  return copy
}

/** Routes below `/v1/projects/{id}/`; undefined when there is none. */
export function machineRoute({ world, project, method, rest, query, body }) {
  const { side } = project
  const signIn = signInRoute(project, method, rest, body)
  if (signIn) return signIn
  const [area, id, verb] = rest.split('/')
  side.calls.push(`${method} ${rest}`)
  switch (`${method} ${area}${id ? '/*' : ''}${verb ? `/${verb}` : ''}`) {
    case 'GET checkpoints':
      return {
        checkpoints: side.checkpoints,
        rule: side.rule,
        automatic: side.automatic,
        ...(side.why ? { why: side.why } : {}),
      }
    case 'POST checkpoints':
      return side.take('manual', { label: body.label ?? null })
    case 'PATCH checkpoints/*':
      return Object.assign(side.find(id), { label: body.label })
    case 'DELETE checkpoints/*':
      side.checkpoints = side.checkpoints.filter((each) => each.id !== side.find(id).id)
      return { id, deleted: true }
    case 'GET checkpoints/*/diff':
      return query.has('path')
        ? side.fileDiff(side.find(id), query.get('path'))
        : side.diff(side.find(id))
    case 'POST checkpoints/*/restore':
      return side.restore(side.find(id), body.force)
    case 'POST restore-message':
      return side.restore(side.before(body.sessionId, body.entryId), body.force)
    case 'PUT checkpoint-rule': {
      const { automatic, ...rule } = body
      Object.assign(side, { automatic, rule })
      return body
    }
    case 'POST fork': {
      const from = body.checkpointId
        ? side.find(body.checkpointId)
        : body.sessionId
          ? side.before(body.sessionId, body.entryId)
          : side.take('fork')
      const count = body.count ?? 1
      const name = body.name ?? `${project.name} copy`
      const names = Array.from({ length: count }, (_, n) => (count > 1 ? `${name} ${n + 1}` : name))
      return { projects: names.map((each) => fork(world, project, from, each).wire()) }
    }
    case 'POST freeze':
      project.state = 'frozen'
      side.frozenAt = new Date().toISOString()
      return project.machine()
    case 'POST thaw':
      project.state = 'running'
      side.frozenAt = null
      return project.machine()
    case 'POST sleep':
      project.state = 'cold'
      return project.machine()
    case 'PUT limits':
      Object.assign(side.limits, body)
      return { limits: side.limits, enforced: side.can.limits }
    case 'PUT idle':
      return Object.assign(side.idle, body)
    case 'GET disk':
      return {
        exclusiveBytes: 318_000_000,
        sharedBytes: 41_000_000,
        quotaBytes: side.limits.diskBytes,
        logBytes: 12_000_000,
        totalBytes: 1_900_000_000,
        capBytes: 21_474_836_480,
        freeBytes: 19_500_000_000,
        yieldBelowBytes: 2_147_483_648,
      }
    case 'GET secrets':
    case 'POST secrets':
    case 'PUT secrets/*':
    case 'DELETE secrets/*':
      return secretRoute(project, method, id, body)
    case 'GET schedules':
      return { schedules: side.schedules }
    case 'POST schedules':
      return side.schedule(body)
    case 'PATCH schedules/*': {
      const one = side.schedules.find((each) => each.id === id)
      return Object.assign(one, body, body.enabled === false ? { nextAt: null } : {})
    }
    case 'DELETE schedules/*':
      side.schedules = side.schedules.filter((each) => each.id !== id)
      return { id, deleted: true }
    case 'GET schedules/*/firings':
      return { firings: side.firings.get(id) ?? [] }
    case 'POST schedules/*/run': {
      const one = side.schedules.find((each) => each.id === id)
      return side.fire(one, 'fired', { byHand: true, exitCode: 0, output: 'backup done\n' })
    }
    default:
      return networkRoute({ network: side.network, method, rest, query, body })
  }
}
