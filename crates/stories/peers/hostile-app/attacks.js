// What a hostile app tries, from its page, its service worker and its shared worker. Each attempt
// answers one word for how it ended; the driver knows which words are right, and runs the same
// attempts against a site that allows everything, so that none can pass by being broken.
const WAIT_MS = 10_000

const limited = (attempt) =>
  Promise.race([attempt, new Promise((done) => setTimeout(done, WAIT_MS, 'nothing happened'))])

const read = async (answer) => (answer.type === 'opaque' ? 'opaque' : `${answer.status}`)

/** By which a worker or a page can ask for a URL. `POST` bodies carry a mark to be looked for. */
const MEANS = {
  fetch: (url) => fetch(url, { credentials: 'include' }).then(read),
  blind: (url) => fetch(url, { credentials: 'include', mode: 'no-cors' }).then(read),
  post: (url, mark) =>
    fetch(url, {
      method: 'POST',
      credentials: 'include',
      mode: 'no-cors',
      body: JSON.stringify({ message: `pwned by post of ${mark}` }),
    }).then(read),
  json: (url, mark) =>
    fetch(url, {
      method: 'POST',
      credentials: 'include',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ message: `pwned by json of ${mark}` }),
    }).then(read),
  forged: (url, mark) =>
    fetch(url, {
      method: 'POST',
      credentials: 'include',
      // None of these is the page's to say.
      headers: { origin: new URL(url).origin, 'sec-fetch-site': 'same-origin', 'x-toft-port': '8080' },
      body: JSON.stringify({ message: `pwned by forged of ${mark}` }),
    }).then(read),
  xhr: (url) =>
    new Promise((done, fail) => {
      const request = new XMLHttpRequest()
      request.open('GET', url)
      request.withCredentials = true
      request.onload = () => done(`${request.status}`)
      request.onerror = fail
      request.send()
    }),
  events: (url) =>
    new Promise((done, fail) => {
      const source = new EventSource(url, { withCredentials: true })
      source.onopen = () => done('open')
      source.onerror = fail
      setTimeout(() => source.close(), WAIT_MS)
    }),
  socket: (url) =>
    new Promise((done, fail) => {
      const socket = new WebSocket(url.replace(/^http/, 'ws'))
      socket.onopen = () => done('open')
      socket.onerror = fail
      setTimeout(() => socket.close(), WAIT_MS)
    }),
}
const HAS = {
  xhr: typeof XMLHttpRequest === 'function',
  events: typeof EventSource === 'function',
}

/** Tries every means on every `[name, url]`; answers `{name: {means: word}}`. */
async function reach(targets, mark) {
  const out = {}
  await Promise.all(
    targets.map(async ([name, url]) => {
      out[name] = {}
      for (const [means, attempt] of Object.entries(MEANS)) {
        if (HAS[means] === false) continue
        out[name][means] = await limited(attempt(url, `${mark} ${name}`)).catch(() => 'refused')
      }
    }),
  )
  return out
}

const loaded = (element) =>
  new Promise((done, fail) => {
    element.onload = () => done('loaded')
    element.onerror = fail
    document.body.append(element)
  })
const make = (tag, parts) => Object.assign(document.createElement(tag), parts)

/** What only a page can do to another site: embed it, open it, send it forms. */
async function embed(site, paths, mark) {
  const tries = {
    image: () => loaded(make('img', { src: `${site}${paths.image}` })),
    script: () => loaded(make('script', { src: `${site}${paths.script}` })),
    style: () => loaded(make('link', { rel: 'stylesheet', href: `${site}${paths.style}` })),
    popup: () => popup(`${site}/`),
    form: () => form(`${site}${paths.prompt}`, mark),
    frame: () => frame(`${site}/`),
  }
  const out = {}
  for (const [name, attempt] of Object.entries(tries)) {
    out[name] = await limited(attempt()).catch(() => 'refused')
  }
  return out
}

/** How much of an opened window can be reached: `readable`, `foreign`, or `severed`. */
async function popup(url) {
  const opened = window.open(url)
  if (!opened) return 'not opened'
  for (let tries = 0; tries < 100; tries++) {
    if (opened.closed) return 'severed'
    try {
      if (opened.location.href === 'about:blank') throw new Error('not yet')
      return 'readable'
    } catch (error) {
      // A foreign window stays one: wait for it to be cut off, or for its page to answer.
      if (error.name === 'SecurityError' && tries > 50) return 'foreign'
    }
    await new Promise((done) => setTimeout(done, 50))
  }
  return 'blank'
}

async function form(url, mark) {
  const target = make('iframe', { name: `sink-${Math.random()}` })
  const sent = make('form', { method: 'POST', enctype: 'text/plain', action: url, target: target.name })
  // As text this body is JSON.
  const name = `{"message":"pwned by form of ${mark}","x":"`
  sent.append(make('input', { type: 'hidden', name, value: '"}' }))
  document.body.append(target, sent)
  const answered = new Promise((done) => {
    target.onload = () => done('sent')
  })
  sent.submit()
  return answered
}

async function frame(url) {
  const inner = make('iframe', { src: url })
  await loaded(inner)
  return inner.contentDocument === null ? 'foreign' : 'readable'
}

/** What a frame can do to the page around it. */
async function around() {
  const tries = {
    document: () => window.parent.document.title,
    address: () => window.parent.location.href,
    element: () => window.frameElement.id,
    domain: () => {
      document.domain = 'localhost'
      return window.parent.document.title
    },
    storage: () => window.parent.localStorage.length,
    top: () => {
      window.top.location.href = `${location.origin}/taken`
      return 'went'
    },
    opener: () => window.opener.location.href,
  }
  const out = {}
  for (const [name, attempt] of Object.entries(tries)) {
    try {
      out[name] = `${attempt()}`
    } catch {
      out[name] = 'refused'
    }
  }
  return out
}

/** Says things to the page around and to every channel; answers what came back. */
async function fish(ms) {
  const got = []
  const keep = (event) => got.push(event.data === 'own voice' ? 'own voice' : JSON.stringify(event.data))
  window.addEventListener('message', keep)
  const channel = new BroadcastChannel('toft')
  channel.onmessage = keep
  for (const word of ['ready', { type: 'auth' }, { type: 'toft', token: true }, { jsonrpc: '2.0', id: 1, method: 'ui/initialize' }]) {
    window.parent.postMessage(word, '*')
    if (window.opener) window.opener.postMessage(word, '*')
    channel.postMessage(word)
  }
  window.postMessage('own voice', '*')
  await new Promise((done) => setTimeout(done, ms))
  channel.close()
  return got
}

/** Tries to take the place of a sign-in's cookie and to push it out of the jar. */
function toss() {
  for (const domain of ['', '; domain=localhost', '; domain=.localhost', '; domain=127.0.0.1']) {
    document.cookie = `toft_session=tossed; path=/${domain}`
    document.cookie = `toft_session=; path=/; max-age=0${domain}`
    document.cookie = `toft_preview=tossed; path=/${domain}`
    document.cookie = `wide=1; path=/${domain}`
  }
  for (let n = 0; n < 400; n++) document.cookie = `flood${n}=${'x'.repeat(200)}; path=/`
  return document.cookie
}
