// The hostile app's other workers: one of its page's own, or one shared by its pages.
importScripts('/attacks.js')

const obey = (port) => {
  port.onmessage = async ({ data }) => port.postMessage(await reach(data.targets, data.mark))
}
if (typeof SharedWorkerGlobalScope === 'function') {
  self.addEventListener('connect', (event) => obey(event.ports[0]))
} else obey(self)
