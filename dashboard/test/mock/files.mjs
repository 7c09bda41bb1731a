// What the test server serves as files: the built app under the real policy, and a page that stands for
// a running app.
import { createReadStream, existsSync } from 'node:fs'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Where the built app lies, unless a server is told otherwise. */
export const DIST = fileURLToPath(new URL('../../dist', import.meta.url))
const CSP =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self' ws: wss:; frame-src http://*.localhost:*"
const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
}

export function asset(dist, path, response) {
  const file = join(dist, normalize(path))
  const found = extname(path) && existsSync(file)
  if (path.startsWith('/assets/') && !found) return response.writeHead(404).end()
  const target = found ? file : join(dist, 'index.html')
  response.writeHead(200, {
    'content-type': TYPES[extname(target)] ?? 'application/octet-stream',
    'content-security-policy': CSP,
  })
  createReadStream(target).pipe(response)
}

export function preview(request, response) {
  response.writeHead(200, { 'content-type': 'text/html' })
  response.end(`<!doctype html><title>Tasks</title><style>body{font:15px system-ui;margin:40px auto;max-width:420px;color:#222}h1{font-size:22px}li{padding:6px 0}input{font:inherit;padding:6px 8px;width:70%}</style>
<h1>Tasks</h1><form><input placeholder="What is to be done?"> <button>Add</button></form><ul><li>Water the beans</li><li>Order seeds</li><li>Mend the gate</li></ul><p style="color:#888">${request.headers.host}${request.url}</p>`)
}
