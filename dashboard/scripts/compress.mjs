// Writes a .br and a .gz beside each file of dist/ that gets smaller by it. The server picks one by
// Accept-Encoding; plain-http clients on a LAN usually take gzip only, so both are kept.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

const dist = fileURLToPath(new URL('../dist', import.meta.url))
const compressible = new Set([
  '.html',
  '.js',
  '.css',
  '.svg',
  '.json',
  '.txt',
  '.map',
  '.webmanifest',
])
/** Below this a compressed copy saves less than its own header costs. */
const BYTES_MIN = 512

let files = 0
for (const entry of readdirSync(dist, { recursive: true })) {
  const path = join(dist, String(entry))
  if (!statSync(path).isFile() || !compressible.has(extname(path))) continue
  const raw = readFileSync(path)
  if (raw.length < BYTES_MIN) continue
  writeFileSync(
    `${path}.br`,
    brotliCompressSync(raw, {
      params: {
        [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
        [constants.BROTLI_PARAM_SIZE_HINT]: raw.length,
      },
    }),
  )
  writeFileSync(`${path}.gz`, gzipSync(raw, { level: 9 }))
  files += 1
}
console.log(`compressed ${files} files`)
