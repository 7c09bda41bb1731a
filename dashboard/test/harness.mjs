// One browser for a file of tests, a fresh server and profile for each test; whatever the page
// complains about fails the test.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { afterAll, afterEach, beforeAll, expect, inject } from 'vitest'
import { launch } from './browser.mjs'
import { startMock } from './mock/server.mjs'

/** What is waited for comes within this, on a machine that does much else as well. */
const PATIENCE_MS = 60_000

/** Complaints that a test provokes on purpose. */
const EXPECTED =
  /status of (400|401|404|409|502|503)|ERR_CONNECTION|ERR_EMPTY|net::ERR|WebSocket connection/

export function harness() {
  let browser
  let open = []
  beforeAll(async () => {
    browser = await launch()
  })
  afterAll(() => browser.close())
  afterEach(async () => {
    const all = open
    open = []
    for (const { context, page, mock } of all) {
      // A request that is on its way through a route of the test has nobody to go to any more.
      await page.unrouteAll({ behavior: 'ignoreErrors' })
      await context.unrouteAll({ behavior: 'ignoreErrors' })
      await context.close()
      for (const each of mock.world.projects.values()) each.pausesAt = null
      await mock.close()
    }
    expect(all.flatMap(({ complaints }) => complaints)).toEqual([])
  })

  /** A page on a new test server. */
  return async function start({
    server = {},
    path = '/',
    width = 1440,
    height = 900,
    scheme = 'light',
  } = {}) {
    const mock = await startMock({ dist: inject('dist'), pace: 0.2, ...server })
    const context = await browser.newContext({
      viewport: { width, height },
      colorScheme: scheme,
      reducedMotion: 'reduce',
    })
    const page = await context.newPage()
    page.setDefaultTimeout(PATIENCE_MS)
    await page.addInitScript(noteToasts)
    const complaints = []
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type()) && !EXPECTED.test(message.text()))
        complaints.push(message.text())
    })
    open.push({ context, page, mock, complaints })
    await page.goto(mock.url + path)
    return { page, mock, world: mock.world, context }
  }
}

/** In the page: a toast goes by itself, maybe before anybody has looked, so each is noted as it comes. */
function noteToasts() {
  const seen = new Set()
  globalThis.toasts = seen
  new MutationObserver(() => {
    for (const toast of document.querySelectorAll('[data-sonner-toast]'))
      seen.add(toast.textContent)
  }).observe(document, { childList: true, subtree: true, characterData: true })
}

/** Until a toast has said it since the page was loaded, be it gone again or not. */
export const untilTold = (page, words) =>
  poll(() => page.evaluate(() => [...globalThis.toasts].join('\n'))).toContain(words)

/** Opens the first project of the test server. */
export async function openProject(page, name = 'Garden planner') {
  await page.getByRole('option', { name: new RegExp(name) }).click()
  await page.getByLabel('Message to the agent').waitFor()
}

export const project = (world, name = 'Garden planner') =>
  [...world.projects.values()].find((each) => each.name === name)

/** Writes to the agent, in the chat at this place of those that there are. */
export async function prompt(page, text, place = 0) {
  const composer = page.getByLabel('Message to the agent').nth(place)
  await composer.fill(text)
  // Enter is for nothing while the message before is being delivered.
  const send = page.getByRole('button', { name: /^(Send|Queue)$/, disabled: false })
  await poll(() => send.count()).toBeGreaterThan(0)
  await composer.press('Enter')
}

/** The line of a palette that Enter takes. */
export const chosen = (page) => page.locator('[cmdk-item][aria-selected=true]')

/** Runs a command as a person does: by some letters, once it is the one that Enter takes. */
export async function command(page, typed, title) {
  await page.keyboard.press('Control+k')
  const field = page.getByPlaceholder('Open, run')
  await field.fill(typed)
  await chosen(page).filter({ hasText: title }).waitFor()
  await field.press('Enter')
}

/** Until keys go there. */
export const untilFocused = (locator) =>
  poll(() => locator.evaluate((element) => element === document.activeElement)).toBe(true)

/** Enter in a dialog that asks before it does something: it does the safe thing. */
export async function enterIsSafe(page) {
  const dialog = page.getByRole('dialog')
  await untilFocused(dialog.getByRole('button', { name: 'Cancel' }))
  await page.keyboard.press('Enter')
  await poll(() => dialog.count()).toBe(0)
}

/** The receipt of the last prompt. */
export const end = (page) =>
  page
    .getByText(/US\$ 0\.\d+ · [\d.]+ (ms|s|min|h)( |$)/)
    .last()
    .waitFor()

/** The text of the conversation, top to bottom. */
export const transcript = (page) =>
  page
    .locator('[role=log][data-session] [role=article]')
    .evaluateAll((rows) => rows.map((row) => row.textContent.trim()))

/** Answers with the value once it is as wanted. */
export const poll = (read) => expect.poll(read, { timeout: PATIENCE_MS, interval: 50 })

/** As a person who comes back to the tab: what is stale is read anew at once, not at its next turn. */
export const lookAgain = (page) =>
  page.evaluate(() => globalThis.dispatchEvent(new Event('visibilitychange')))

async function count(page, locator) {
  await lookAgain(page)
  return locator.count()
}

/** Until something that is asked for from time to time is seen, or is not seen any more. */
export const untilSeen = (page, locator) => poll(() => count(page, locator)).toBe(1)
export const untilGone = (page, locator) => poll(() => count(page, locator)).toBe(0)

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** What axe finds, in short. */
export async function violations(page) {
  await page.evaluate(AXE)
  const { violations: found } = await page.evaluate(() =>
    globalThis.axe.run({
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice'],
      iframes: false,
    }),
  )
  return found.map(
    ({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 120)).join(' | ')}`,
  )
}
