// The hostile app's service worker: sees every request of its pages, can keep and answer them.
importScripts('/attacks.js')

const seen = []
let keepEntry = false

self.addEventListener('install', () => self.skipWaiting())
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()))
self.addEventListener('fetch', (event) => {
  seen.push(event.request.url)
  const { origin, pathname } = new URL(event.request.url)
  if (origin !== location.origin) return
  if (pathname === '/from-worker') event.respondWith(new Response('made by the worker'))
  else if (keepEntry && pathname.startsWith('/.toft/')) {
    event.respondWith(new Response('<h1>Kept</h1>', { headers: { 'content-type': 'text/html' } }))
  } else if (event.request.mode === 'navigate') event.respondWith(fetch(event.request))
})

const ORDERS = {
  seen: () => seen,
  keep: ({ on }) => {
    keepEntry = on
    return on
  },
  reach: ({ targets, mark }) => reach(targets, mark),
  // What it can put into its cache, and what it gets back out.
  cache: async ({ urls }) => {
    const cache = await caches.open('taken')
    const out = {}
    for (const url of urls) {
      try {
        await cache.put(url, await fetch(url, { credentials: 'include', mode: 'no-cors' }))
        out[url] = await read(await cache.match(url))
      } catch {
        out[url] = 'refused'
      }
    }
    return out
  },
}
self.addEventListener('message', (event) => {
  const order = ORDERS[event.data.order]
  event.waitUntil(
    Promise.resolve(order(event.data)).then((answer) => event.ports[0].postMessage(answer)),
  )
})
