// Before the tests in a browser: a copy of the built app, so that it may be built anew while they run.
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export default function setup(project) {
  const dist = fileURLToPath(new URL('../dist', import.meta.url))
  if (!existsSync(join(dist, 'index.html'))) {
    throw new Error('the dashboard is not built: run `make web` first')
  }
  const copy = mkdtempSync(join(tmpdir(), 'toft-dashboard-'))
  cpSync(dist, copy, { recursive: true })
  project.provide('dist', copy)
  return () => rmSync(copy, { recursive: true })
}
