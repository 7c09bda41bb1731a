// Chromium for tests, from Debian's packages; a fresh profile each time. The one without windows of its
// own comes first: the same engine, for some 60 % of the processor time. CHROMIUM names another.
import { existsSync } from 'node:fs'
import { chromium } from 'playwright-core'

const ARGS = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** On a machine that does much else as well. */
const START_MS_MAX = 120_000

export async function launch() {
  const executablePath =
    process.env.CHROMIUM ||
    [
      '/usr/lib/chromium/chromium-headless-shell',
      '/usr/bin/chromium',
      '/usr/bin/chromium-browser',
      '/usr/bin/google-chrome',
    ].find((path) => existsSync(path))
  if (!executablePath)
    throw new Error('no chromium: install the package `chromium`, or set CHROMIUM')
  // Chromium's own sandbox does not work for root.
  return chromium.launch({
    executablePath,
    timeout: START_MS_MAX,
    args: process.getuid() === 0 ? ['--no-sandbox', ...ARGS] : ARGS,
  })
}
