// A hostile app in a real Chromium: its page in the dashboard's frame and in a tab of its own, its
// service worker and its shared worker try to reach the dashboard, the agent and other previews.
// Every attack is also run against a site without walls, where it must succeed.
import { request } from 'node:http'
import { begin, command, expect, made, openSite, signIn, until, within } from './chromium.mjs'

const { control, address, port, a, b, terminal } = made
const own = `http://${a}.localhost:${port}`
const otherPort = `http://3001-${a}.localhost:${port}`
const otherProject = `http://${b}.localhost:${port}`

const site = await openSite()
const { browser, page, tell } = await begin({ lax: true })

const agent = (base) => [
  ['state', `${base}/toft/state`],
  ['prompt', `${base}/toft/prompt`],
  ['events', `${base}/toft/events?after=0`],
  ['terminal', `${base}/toft/terminals/${terminal}`],
  ['starter state', `${base}/starter/state`],
  ['starter prompt', `${base}/starter/prompt`],
]
const dashboard = (name, base) =>
  [
    ['page', `${base}/`],
    ['me', `${base}/v1/me`],
    ['projects', `${base}/v1/projects`],
    ['key', `${base}/v1/providers/openai/key`],
    ['state', `${base}/v1/projects/${a}/toft/state`],
    ['prompt', `${base}/v1/projects/${a}/toft/prompt`],
    ['events', `${base}/v1/projects/${a}/toft/events?after=0`],
    ['terminal', `${base}/v1/projects/${a}/toft/terminals/${terminal}`],
    ['exec', `${base}/v1/projects/${a}/exec`],
    ['shutdown', `${base}/v1/shutdown`],
  ].map(([what, url]) => [`${name} ${what}`, url])
const TARGETS = [
  ['site', `${site.origin}/x`],
  ['hello', `${own}/hello`],
  ...agent(own),
  ...dashboard('dashboard', control),
  ...dashboard('address', address),
  ...agent(otherProject).map(([what, url]) => [`project ${what}`, url]),
  ['project app', `${otherProject}/pwned`],
  ...agent(otherPort).map(([what, url]) => [`port ${what}`, url]),
  ['port app', `${otherPort}/hello`],
]
const NOT_READ = { fetch: 'refused', json: 'refused', forged: 'refused', xhr: 'refused', events: 'refused', socket: 'refused' }
/** The right words for a target. */
function right(name) {
  if (name === 'site') {
    return { fetch: '200', blind: 'opaque', post: 'opaque', json: '200', forged: '200', xhr: '200', events: 'open', socket: 'open' }
  }
  const same = (status) => ({ fetch: status, blind: status, post: status, json: status, forged: status, xhr: status, events: 'refused', socket: 'refused' })
  if (name === 'hello') return same('200')
  if (/^(dashboard|address) /.test(name)) return { ...NOT_READ, blind: 'refused', post: 'refused' }
  if (/^(project|port) /.test(name)) return { ...NOT_READ, blind: 'opaque', post: 'opaque' }
  return same('401')
}
function judge(where, outcome) {
  const wrong = []
  for (const [name] of TARGETS) {
    const words = right(name)
    for (const [means, word] of Object.entries(outcome[name])) {
      if (word !== words[means]) wrong.push(`${name} by ${means}: ${word}, not ${words[means]}`)
    }
  }
  expect(Object.keys(outcome).length === TARGETS.length, `${where} tried too little`)
  expect(wrong.length === 0, `${where}: ${wrong.join('; ')}`)
}

/** Why the browser refused what it refused, so that a broken line does not pass for a wall. */
async function watchRefusals(target) {
  const session = await browser.newCDPSession(target)
  const urls = new Map()
  const why = []
  session.on('Network.requestWillBeSent', ({ requestId, request: { url } }) => urls.set(requestId, url))
  session.on('Network.loadingFailed', ({ requestId, type, errorText, blockedReason, corsErrorStatus }) => {
    // A page in a frame is refused by its own policy, without a word of reason.
    if (type === 'Document') return
    why.push({ url: urls.get(requestId) ?? '', reason: corsErrorStatus?.corsError ?? blockedReason ?? errorText })
  })
  await session.send('Network.enable')
  return why
}

async function register(frame) {
  await frame.evaluate(async () => {
    await navigator.serviceWorker.register('/worker.js', { scope: '/' })
    await navigator.serviceWorker.ready
    if (!navigator.serviceWorker.controller) {
      await new Promise((done) => navigator.serviceWorker.addEventListener('controllerchange', done))
    }
  })
  const made = await frame.evaluate(() => fetch('/from-worker').then((answer) => answer.text()))
  expect(made === 'made by the worker', `the worker controls its page: ${made}`)
  // Neither below the agent's paths nor on another origin.
  for (const [script, scope] of [
    ['/toft/worker.js', '/toft/'],
    ['/starter/worker.js', '/starter/'],
    ['/.toft/worker.js', '/.toft/'],
    [`${control}/worker.js`, '/'],
    ['/worker.js', `${control}/`],
    ['/worker.js', `${otherProject}/`],
  ]) {
    const word = await frame.evaluate(
      ([from, where]) =>
        navigator.serviceWorker.register(from, { scope: where }).then(
          () => 'registered',
          (error) => error.name,
        ),
      [script, scope],
    )
    expect(/^(SecurityError|TypeError)$/.test(word), `worker ${script} for ${scope}: ${word}`)
  }
  // A scope is not a right: below it the same refusals come.
  const below = await frame.evaluate(async () => {
    await navigator.serviceWorker.register('/worker.js', { scope: '/toft/' })
    return fetch('/toft/state', { credentials: 'include' }).then((answer) => answer.status)
  })
  expect(below === 401, `the agent below a worker's scope: ${below}`)
}
const order = (frame, words) =>
  within(
    `the service worker's ${words.order}`,
    frame.evaluate(
      (data) =>
        new Promise((done) => {
          const { port1, port2 } = new MessageChannel()
          port1.onmessage = (event) => done(event.data)
          navigator.serviceWorker.controller.postMessage(data, [port2])
        }),
      words,
    ),
  )

/** The attacks in a worker of the page. */
const byWorker = (frame, kind, words) =>
  within(
    `the ${words.mark}`,
    frame.evaluate(
      ([name, data]) =>
        new Promise((done) => {
          const worker = new globalThis[name]('/shared.js')
          const line = worker.port ?? worker
          line.onmessage = (event) => done(event.data)
          worker.onerror = () => done('refused')
          line.postMessage(data)
        }),
      [kind, words],
    ),
  )

const PATHS = { image: '/favicon.svg', prompt: `/v1/projects/${a}/toft/prompt` }
const SITE_PATHS = { image: '/x.gif', script: '/x.js', style: '/x.css', prompt: '/x' }

/** All attacks from a page and its workers. */
async function attack(where, frame, framed) {
  // The heading stands there before the page's script.
  await frame.waitForFunction(() => typeof reach === 'function', undefined, { polling: 100 })
  const word = (who) => ({ targets: TARGETS, mark: `${where} ${who}` })
  judge(`${where}, page`, await frame.evaluate((w) => reach(w.targets, w.mark), word('page')))
  judge(`${where}, worker`, await byWorker(frame, 'Worker', word('worker')))
  if (framed) {
    // The browser asks for these scripts without the cookie of the frame, so they are not there.
    const refused = await frame.evaluate(() =>
      navigator.serviceWorker.register('/worker.js', { scope: '/' }).catch((error) => error.message),
    )
    expect(/401/.test(refused), `${where}: a service worker was registered: ${refused}`)
    const none = await byWorker(frame, 'SharedWorker', word('shared worker'))
    expect(none === 'refused', `${where}: a shared worker started`)
  } else {
    await within('registering a service worker', register(frame))
    judge(`${where}, service worker`, await order(frame, { order: 'reach', ...word('service worker') }))
    judge(`${where}, shared worker`, await byWorker(frame, 'SharedWorker', word('shared worker')))
    const kept = await order(frame, {
      order: 'cache',
      urls: [`${own}/hello`, `${own}/toft/state`, `${control}/v1/me`, `${control}/`],
    })
    expect(
      JSON.stringify(Object.values(kept)) === '["200","401","refused","refused"]',
      `${where}: into the cache went ${JSON.stringify(kept)}`,
    )
  }

  const embedded = async (base, paths) => frame.evaluate(([s, p, m]) => embed(s, p, m), [base, paths, where])
  const open = await embedded(site.origin, SITE_PATHS)
  // The dashboard cuts its frames off from windows that they open.
  const window = framed ? 'not opened' : 'foreign'
  const wantOpen = { image: 'loaded', script: 'loaded', style: 'loaded', popup: window, form: 'sent', frame: 'foreign' }
  expect(JSON.stringify(open) === JSON.stringify(wantOpen), `${where}: the control failed: ${JSON.stringify(open)}`)
  for (const base of [control, address]) {
    const got = await embedded(base, PATHS)
    for (const name of ['image', 'script', 'style']) {
      expect(got[name] === 'refused', `${where}: ${name} of ${base}: ${got[name]}`)
    }
    const cut = framed ? 'not opened' : 'severed'
    expect(got.popup === cut, `${where}: a window of ${base} is ${got.popup}`)
    expect(got.frame !== 'readable', `${where}: a frame of ${base} is ${got.frame}`)
  }
  for (const child of frame.childFrames()) {
    expect(!child.url().startsWith(control) && !child.url().startsWith(address), `${where}: frames ${child.url()}`)
  }
  expect(frame.childFrames().some((child) => child.url().startsWith(site.origin)), `${where}: frames nothing at all`)
  const others = browser.pages().filter((each) => each !== page && each !== frame.page())
  const urls = others.map((each) => each.url())
  expect(urls.some((url) => url.startsWith(site.origin)), `${where}: no window at all: ${urls}`)
  for (const opened of others) {
    const dashboards = [control, address].some((base) => opened.url().startsWith(base))
    // A sandboxed window shows an error in the dashboard's place.
    expect(!framed || !dashboards, `a sandboxed window shows ${opened.url()}`)
    if (dashboards) expect(await opened.evaluate(() => window.opener === null), 'a dashboard knows its opener')
    await opened.close()
  }
}

const entryOf = async (project, at) =>
  page.evaluate(
    ([id, where]) =>
      fetch(`/v1/projects/${id}/preview`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ port: where }),
      })
        .then((answer) => answer.json())
        .then(({ data }) => data.url),
    [project, at],
  )
async function frameOf(url) {
  await page.evaluate((src) => {
    const frame = document.createElement('iframe')
    frame.src = src
    document.body.append(frame)
  }, url)
  const { origin } = new URL(url)
  const there = () => page.frames().find((frame) => frame.url() === `${origin}/`)
  const frame = await until(`a frame of ${origin}`, there)
  await frame.getByRole('heading', { name: 'Hostile app' }).waitFor()
}

/** A program without a browser: what a thief of an address would use. */
function outside(label, path, headers = {}) {
  const host = `${label === null ? '' : `${label}.`}localhost:${port}`
  return new Promise((done, fail) => {
    const asked = request({ host: '127.0.0.1', port, path, headers: { host, ...headers } }, (answer) => {
      answer.resume()
      answer.on('end', () => done({ status: answer.statusCode, cookie: answer.headers['set-cookie']?.[0]?.split(';')[0] }))
    })
    asked.on('error', fail)
    asked.end()
  })
}
const jar = async () => (await browser.cookies([control, address])).map(({ name, value, domain }) => `${domain} ${name}=${value}`).join('; ')
const signedIn = () => page.evaluate(() => fetch('/v1/me').then((answer) => answer.status))
const appFrame = () => page.frames().find((frame) => frame.url().startsWith(`${own}/`) && frame.parentFrame() === page.mainFrame())

const say = (words) => console.error(`${Math.round(performance.now())} ms: ${words}`)

await tell(async () => {
  await signIn(page)
  const before = await jar()
  expect(/^localhost toft_session=\S+$/.test(before), `one sign-in in the jar: ${before}`)
  await page.evaluate(() => localStorage.setItem('kept', 'yes'))
  const parts = await page.evaluate(() => [
    document.querySelector('script[src]').src,
    document.querySelector('link[rel=stylesheet]').href,
  ])
  ;[PATHS.script, PATHS.style] = parts.map((url) => new URL(url).pathname)
  await page.goto(`${control}/projects/${a}`)
  await command(page, 'Open the app')
  const frame = await until('the app in its frame', appFrame)
  await frame.getByRole('heading', { name: 'Hostile app' }).waitFor()
  // The person looks at the others too: their cookies are in this browser.
  await frameOf(await entryOf(b, null))
  await frameOf(await entryOf(a, 3001))
  // Who listens hears it: the controls of the silence below.
  await page.evaluate(() => {
    window.heard = []
    window.addEventListener('message', (event) => window.heard.push(event.data))
    window.radio = []
    new BroadcastChannel('toft').addEventListener('message', (event) => window.radio.push(event.data))
  })

  say('in the frame')
  // In the dashboard's frame.
  const here = page.url()
  await attack('framed', frame, true)
  const around = await frame.evaluate(() => around())
  expect(Object.values(around).every((word) => word === 'refused'), `around the frame: ${JSON.stringify(around)}`)
  const caught = await frame.evaluate(() => fish(1_000))
  expect(JSON.stringify(caught) === '["own voice"]', `fished: ${JSON.stringify(caught)}`)
  const heard = await page.evaluate(() => [window.heard.length, window.radio.length])
  expect(heard[0] >= 4 && heard[1] === 0, `the dashboard's page heard ${heard}`)
  expect(page.url() === here, `the dashboard went to ${page.url()}`)
  await frame.evaluate(() => fetch('/cookies'))
  await frame.evaluate(() => toss())
  expect((await jar()) === before, `cookies from the frame: ${await jar()}`)

  say('in a tab')
  // In a tab of its own, opened from the dashboard.
  const [tab] = await Promise.all([
    browser.waitForEvent('page'),
    page.getByRole('button', { name: 'Open outside' }).first().click(),
  ])
  await tab.getByRole('heading', { name: 'Hostile app' }).waitFor()
  expect((await tab.evaluate(() => window.opener)) === null, 'the app knows who opened it')
  const why = await watchRefusals(tab)
  await attack('tab', tab.mainFrame(), false)
  const refusals = why.filter(({ url }) => [control, address].some((base) => url.startsWith(`${base}/v1/`)))
  expect(refusals.length > 20, `only ${refusals.length} refusals were watched`)
  const odd = refusals.filter(({ reason }) => !/Allow|Preflight|corp|origin|ERR_BLOCKED_BY_RESPONSE|ERR_ABORTED/i.test(reason))
  expect(odd.length === 0, `refused for another reason: ${JSON.stringify(odd.slice(0, 5))}`)
  const fished = await tab.evaluate(() => fish(1_000))
  expect(JSON.stringify(fished.filter((word) => word !== 'own voice' && !word.startsWith('"ready') && !word.startsWith('{'))) === '[]', `fished: ${fished}`)
  say('at the entry')
  // The service worker sees the one-time address as it passes. It has been used then.
  const entries = async () =>
    (await order(tab, { order: 'seen' })).filter((url) => url.includes('/.toft/enter?'))
  await tab.goto(await entryOf(a, null))
  await tab.getByRole('heading', { name: 'Hostile app' }).waitFor()
  const passed = await entries()
  expect(passed.length === 1, `the worker saw ${passed.length} entries: the attack was not tried`)
  const path = (url) => url.slice(own.length)
  for (const label of [a, `3001-${a}`, b]) {
    const { status, cookie } = await outside(label, path(passed[0]))
    expect(status === 401 && !cookie, `a used entry at ${label}: ${status}`)
  }
  // Held back, it is good once, for the app that held it, and for nothing else.
  await order(tab, { order: 'keep', on: true })
  const fresh = await entryOf(a, null)
  await tab.goto(fresh)
  await tab.getByRole('heading', { name: 'Kept' }).waitFor()
  const held = (await entries()).at(-1)
  expect(held === fresh, `the worker held ${held}`)
  for (const label of [`3001-${a}`, b]) {
    expect((await outside(label, path(held))).status === 401, `a held entry at ${label}`)
  }
  const stolen = await outside(a, path(held))
  expect(stolen.status === 303 && stolen.cookie, `a held entry opens its own app: ${stolen.status}`)
  expect((await outside(a, path(held))).status === 401, 'a held entry opens twice')
  const spoils = []
  for (const [label, what] of [
    [a, '/hello'],
    [a, '/toft/state'],
    [a, '/starter/state'],
    [`3001-${a}`, '/hello'],
    [b, '/hello'],
    [null, '/v1/me'],
    [null, `/v1/projects/${a}/toft/state`],
  ]) {
    spoils.push((await outside(label, what, { cookie: stolen.cookie })).status)
  }
  expect(`${spoils}` === '200,401,401,401,401,401,401', `a stolen cookie opens ${spoils}`)

  // An app's cookies stay its own, however it sets them; a flood costs it nobody's but its own.
  await order(tab, { order: 'keep', on: false })
  await tab.goto(`${own}/`)
  const cookies = await tab.evaluate(() =>
    fetch('/cookies').then(() => fetch('/hello')).then(() => document.cookie),
  )
  expect(cookies === 'mine=1', `the app's cookies: ${cookies}`)
  await tab.evaluate(() => toss())
  expect((await jar()) === before, `cookies from the tab: ${await jar()}`)

  say('clearing')
  // Clearing the browser's data clears the app's own.
  const own2 = await entryOf(a, null)
  await tab.goto(own2)
  await tab.goto(`${own}/clear`)
  expect((await jar()) === before, `cookies after clearing: ${await jar()}`)

  say('framing')
  // Another site cannot put the app into its own frame.
  await tab.goto(await entryOf(a, null))
  await tab.goto(`${site.origin}/?page=${encodeURIComponent(`<iframe src="${own}/"></iframe><iframe src="${site.origin}/x"></iframe>`)}`)
  await tab.waitForLoadState('load')
  const shown = tab.mainFrame().childFrames().map((child) => child.url())
  expect(!shown.some((url) => url.startsWith(own)) && shown.includes(`${site.origin}/x`), `another site frames ${shown}`)

  expect((await signedIn()) === 200, 'the person is still signed in')
  expect((await page.evaluate(() => localStorage.getItem('kept'))) === 'yes', "the dashboard's storage is kept")
  await page.reload()
  await page.getByLabel('Message to the agent').first().waitFor()
  expect(site.hits.some(({ body }) => body.includes('pwned by form')), 'forms were sent')
  const values = (await browser.cookies()).filter(({ name }) => name.startsWith('toft_')).map(({ value }) => value)
  console.log(`secrets ${JSON.stringify([...values, before.split('=')[1]])}`)
})
