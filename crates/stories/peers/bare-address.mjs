// The dashboard by a bare address in a real Chromium: previews have ports, and two apps that share
// one host's cookies attack the dashboard and each other. Made by the test: the
// address, the two projects.
import { begin, command, expect, made, signIn, until } from './chromium.mjs'

const host = new URL(made.address).hostname
const { browser, page, tell } = await begin()

/** Opens a project's app in its panel; answers page and frame. */
async function open(page, project, name) {
  await page.goto(`${made.address}/projects/${project}`)
  await page.getByLabel('Message to the agent').first().waitFor()
  await command(page, 'Open the app')
  const frame = await until(`the frame of ${name}`, async () =>
    page.frames().find((f) => f !== page.mainFrame() && f.url().startsWith(`http://${host}:`)),
  )
  await frame.getByText(`This is ${name}`).waitFor()
  return frame
}

const seen = (frame) => frame.evaluate(async () => (await fetch('/seen')).json())

await tell(async () => {
  const refused = []
  page.on('console', (message) => {
    if (/Content Security Policy/.test(message.text())) refused.push(message.text())
  })
  await signIn(page)
  const shop = await open(page, made.shop, 'shop')
  expect(refused.length === 0, `the dashboard's own policy refuses the preview: ${refused.join(' ')}`)
  const other = await browser.newPage()
  const blog = await open(other, made.blog, 'blog')
  const origins = [made.address, new URL(shop.url()).origin, new URL(blog.url()).origin]
  expect(new Set(origins).size === 3, `three origins: ${origins}`)

  // Each app gets its own hidden cookie although the browser sends both to both.
  await seen(shop)
  await seen(blog)
  for (const [frame, name, foreign] of [
    [shop, 'shop', 'blog'],
    [blog, 'blog', 'shop'],
  ]) {
    const { cookie } = await seen(frame)
    expect(cookie.includes(`sid=${name}-hidden`), `${name} lacks its cookie: ${cookie}`)
    expect(!cookie.includes(`${foreign}-hidden`), `${name} sees another's cookie: ${cookie}`)
    expect(!cookie.includes('toft_'), `${name} sees a cookie of Toft: ${cookie}`)
  }

  const tries = await shop.evaluate(
    async ([control, foreign, project]) => {
      const outcome = {}
      const attempt = async (name, what) => {
        try {
          outcome[name] = await what()
        } catch {
          outcome[name] = 'refused'
        }
      }
      const json = { 'content-type': 'application/json' }
      await attempt('parent', () => window.parent.document.title)
      await attempt('me', async () => (await fetch(`${control}/v1/me`, { credentials: 'include' })).status)
      await attempt('models', async () => (await fetch(`${control}/llm/models`, { credentials: 'include' })).status)
      await attempt('foreign', async () => (await fetch(`${foreign}/seen`, { credentials: 'include' })).status)
      await attempt('bridge', async () => (await fetch('/toft/state', { credentials: 'include' })).status)
      const body = JSON.stringify({ name: 'Evil' })
      // Answers that nobody may read; the test looks for what they did.
      await attempt('create', async () => (await fetch(`${control}/v1/projects`, { method: 'POST', mode: 'no-cors', credentials: 'include', body })).type)
      await attempt('remove', async () => (await fetch(`${control}/v1/projects/${project}`, { method: 'DELETE', credentials: 'include', headers: json })).status)
      await attempt('post', async () => (await fetch(`${foreign}/x`, { method: 'POST', mode: 'no-cors', credentials: 'include', body })).type)
      await attempt('script', () => new Promise((done) => {
        const script = document.createElement('script')
        script.src = `${foreign}/lib.js`
        script.onload = () => done('loaded')
        script.onerror = () => done('refused')
        document.head.append(script)
      }))
      await attempt('socket', () => new Promise((done) => {
        const socket = new WebSocket(`${control.replace('http', 'ws')}/v1/projects/${project}/toft/terminals/x`)
        socket.onopen = () => done('open')
        socket.onerror = () => done('refused')
      }))
      outcome.cookies = document.cookie
      return outcome
    },
    [made.address, origins[2], made.blog],
  )
  for (const name of ['parent', 'me', 'models', 'foreign', 'remove', 'script', 'socket']) {
    expect(tries[name] === 'refused', `${name} was not refused: ${JSON.stringify(tries)}`)
  }
  expect(tries.bridge === 401, `the bridge answered an app with ${tries.bridge}`)
  expect(!/toft_|hidden/.test(tries.cookies), `a script reads ${tries.cookies}`)
  expect((await seen(blog)).posts === 0, 'one app posted to another with its visitor’s cookie')

  // The dashboard cannot be put in a frame.
  await shop.evaluate((control) => {
    const frame = document.createElement('iframe')
    frame.name = 'victim'
    frame.src = control
    document.body.append(frame)
  }, made.address)
  await until('the refused frame', () =>
    page.frames().find((f) => f.name() === 'victim' && f.url().startsWith('chrome-error:')),
  )

  // Cookies tossed in by a script shut nobody out, neither of the dashboard nor of the other app.
  await shop.evaluate((port) => {
    for (const path of ['/v1', '/v1/', '/v1/me', '/v1/me/', '/v1/projects', '/v1/settings']) {
      document.cookie = `toft_session=tossed; path=${path}`
    }
    for (const path of ['/seen', '/x']) document.cookie = `toft_preview_${port}=1.a.b; path=${path}`
    document.cookie = `toft_app_${port}_sid=tossed; path=/seen`
  }, new URL(origins[2]).port)
  expect((await seen(blog)).posts === 0, 'the other app is shut')
  await until('the dashboard', async () => {
    await page.goto(`${made.address}/projects/${made.shop}`)
    return page
      .getByLabel('Message to the agent')
      .first()
      .waitFor({ timeout: 5_000 })
      .then(() => true)
      .catch(() => false)
  })
})
