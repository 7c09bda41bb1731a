// Holds dist/ to its budgets (kilobytes of gzip unless said otherwise). Run after `npm run build`.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

const dist = fileURLToPath(new URL('../dist', import.meta.url))
const KIB = 1024

/** What a home page on a slow line can afford; a tenth above what it is, so that growth is a choice. */
const HOME_JS_KIB = 165
const HOME_CSS_KIB = 11
/** What is loaded later, piece by piece: the docking library, the terminal, anything else. */
const CHUNKS_KIB = { dock: 100, screen: 92 }
const CHUNK_KIB = 60
/** All that goes into the binary, in the smaller of its forms. */
const DIST_KIB = 930

const files = readdirSync(dist, { recursive: true })
  .map(String)
  .filter((file) => statSync(join(dist, file)).isFile())
const gz = (file) => gzipSync(readFileSync(join(dist, file)), { level: 9 }).length / KIB
const failures = []
const check = (name, size, max) => {
  console.log(`${size <= max ? 'ok ' : 'BAD'} ${name}: ${size.toFixed(1)} of ${max} KiB`)
  if (size > max) failures.push(name)
}

const html = readFileSync(join(dist, 'index.html'), 'utf8')
if (/<script(?![^>]*\ssrc=)|\son\w+=|<style/i.test(html))
  failures.push('index.html has something inline')
const linked = [...html.matchAll(/(?:src|href)="\/([^"]+)"/g)].map((match) => match[1])
const sum = (list) => list.reduce((total, file) => total + gz(file), 0)
check('home JS', sum(linked.filter((file) => file.endsWith('.js'))), HOME_JS_KIB)
check('home CSS', sum(linked.filter((file) => file.endsWith('.css'))), HOME_CSS_KIB)
for (const file of files.filter((each) => each.endsWith('.js') && !linked.includes(each))) {
  const max = CHUNKS_KIB[/^assets\/(.+)-[\w-]{8}\.js$/.exec(file)?.[1]] ?? CHUNK_KIB
  const size = gz(file)
  if (size > max / 2) check(file, size, max)
}
const smallest = files
  .filter((file) => !/\.(br|gz)$/.test(file))
  .map((file) =>
    Math.min(
      ...[file, `${file}.br`, `${file}.gz`]
        .filter((f) => files.includes(f))
        .map((f) => statSync(join(dist, f)).size),
    ),
  )
check('dist, compressed', smallest.reduce((a, b) => a + b, 0) / KIB, DIST_KIB)

if (failures.length > 0) {
  console.error(`over budget: ${failures.join(', ')}`)
  process.exit(1)
}
