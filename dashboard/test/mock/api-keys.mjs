// Keys for programs outside, as the server keeps them: the key itself is in the answer that makes it alone.
import { randomBytes } from 'node:crypto'

/** Undefined: the route is another's. */
export function keyRoute(world, method, path, body) {
  const all = (world.apiKeys ??= [])
  if (path === 'keys') return method === 'POST' ? made(all, body) : { keys: all }
  const id = method === 'DELETE' && /^keys\/(\w+)$/.exec(path)?.[1]
  const at = id ? all.findIndex((key) => key.id === id) : -1
  if (at < 0) return undefined
  all.splice(at, 1)
  return { id, revoked: true }
}

function made(all, { name, scopes, project = null, expiresAt = null }) {
  const key = `toft_${randomBytes(32).toString('hex')}`
  const kept = {
    id: `k${all.length + 1}`,
    name,
    prefix: key.slice(0, 12),
    scopes,
    projectId: project,
    createdAt: Date.now(),
    createdBy: 'Admin',
    expiresAt,
    expired: false,
    lastUsedAt: null,
  }
  all.unshift(kept)
  return { ...kept, key }
}
