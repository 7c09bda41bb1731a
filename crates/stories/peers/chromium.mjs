// A real Chromium with a profile of its own, and a site that allows everything: the stories' browser
// and the control of every attack.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { chromium } from 'playwright-core'

/** `lax`: with the third-party storage that most people's browsers allow to frames. */
function launch(profile, { lax = false } = {}) {
  if (lax) {
    mkdirSync(`${profile}/Default`, { recursive: true })
    const preferences = { profile: { cookie_controls_mode: 0, block_third_party_cookies: false } }
    writeFileSync(`${profile}/Default/Preferences`, JSON.stringify(preferences))
  }
  const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync)
  return chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    viewport: { width: 1440, height: 900 },
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
}

/** Finds a command in the palette and runs it. */
export async function command(page, words) {
  // A terminal that has the focus keeps Ctrl+K for its shell: the button is always there.
  await page.getByRole('button', { name: /Commands/ }).click()
  const input = page.getByPlaceholder('Open, run, or name a new project')
  await input.fill(words)
  await page.getByRole('option').first().waitFor()
  await input.press('Enter')
}

/** What the test that started this has made, and the sign-in link and a folder for the profile. */
export const made = JSON.parse(process.argv[2])

/**
 * A browser with a page, and what went wrong in that. `lax` as of `launch`. `strict`: that the policy of
 * our own pages stops something is a fault, too. `tell` tells a story in it and ends this process: with
 * the line `done` when all came as it should and there is no fault, else with why not; `failed` is done
 * before the browser closes then.
 */
export async function begin({ lax = false, strict = false } = {}) {
  const browser = await launch(made.profile, { lax })
  const page = browser.pages()[0] ?? (await browser.newPage())
  page.setDefaultTimeout(2 * STEP_MS)
  const faults = []
  page.on('pageerror', (error) => faults.push(`page error: ${error.message}`))
  page.on('console', (message) => {
    if (strict && message.type() === 'error' && /Content Security Policy/.test(message.text())) {
      faults.push(message.text())
    }
  })
  async function tell(story, { failed = async () => {} } = {}) {
    try {
      await story()
      expect(faults.length === 0, 'the page has faults')
      console.log('done')
    } catch (error) {
      await failed().catch(() => {})
      console.log(`failed ${error?.stack ?? error}`)
      for (const fault of faults) console.log(`fault ${fault}`)
      process.exitCode = 1
    } finally {
      await browser.close()
      process.exit()
    }
  }
  return { browser, page, faults, tell }
}

/** Opens the sign-in link, and a project from it. */
export async function signIn(page, project) {
  await page.goto(made.link)
  await page.getByPlaceholder('Open, run, or name a new project').waitFor()
  if (project === undefined) return
  await page.goto(new URL(`/projects/${project}`, made.link).href)
  await page.getByLabel('Message to the agent').first().waitFor()
}

export function expect(condition, words) {
  if (!condition) throw new Error(words)
}

/** How long anything may take that a page does by itself. */
const STEP_MS = 30_000

/** What a page or a worker was asked to do may never end by itself. */
export const within = (what, promise) =>
  Promise.race([
    promise,
    new Promise((_, fail) => setTimeout(fail, 4 * STEP_MS, new Error(`${what} never ended`))),
  ])

/** Waits until `look` answers something, and answers it. */
export async function until(what, look) {
  const end = Date.now() + STEP_MS
  for (;;) {
    const found = await look()
    if (found) return found
    expect(Date.now() < end, `${what} never came`)
    await new Promise((done) => setTimeout(done, 20))
  }
}

const GIF = Buffer.from('R0lGODlhAQABAAAAACwAAAAAAQABAAA7', 'base64')

/** A site without any wall: what does not work here is the harness's fault. */
export async function openSite() {
  const hits = []
  const server = createServer((req, res) => {
    const cors = {
      'access-control-allow-origin': req.headers.origin ?? '*',
      'access-control-allow-credentials': 'true',
      'access-control-allow-headers': req.headers['access-control-request-headers'] ?? '',
      'access-control-allow-methods': 'GET, POST',
    }
    let body = ''
    req.on('data', (part) => (body += part))
    req.on('end', () => {
      hits.push({ method: req.method, url: req.url, body })
      const [type, text] = req.url.endsWith('.gif')
        ? ['image/gif', GIF]
        : req.url.endsWith('.js')
          ? ['text/javascript', 'globalThis.foreignScriptRan = true']
          : req.url.endsWith('.css')
            ? ['text/css', 'html{}']
            : req.headers.accept === 'text/event-stream'
              ? ['text/event-stream', ': open\n\n']
              : ['text/html', req.url.startsWith('/?page=') ? decodeURIComponent(req.url.slice(7)) : 'open']
      res.writeHead(200, { 'content-type': type, ...cors })
      if (type === 'text/event-stream') res.write(text)
      else res.end(text)
    })
  })
  server.on('upgrade', (req, socket) => {
    // RFC 6455, 4.2.2.
    const accept = createHash('sha1')
      .update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest('base64')
    socket.on('error', () => {})
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    )
  })
  await new Promise((done) => server.listen(0, '127.0.0.1', done))
  return { origin: `http://127.0.0.1:${server.address().port}`, hits, close: () => server.closeAllConnections() }
}
