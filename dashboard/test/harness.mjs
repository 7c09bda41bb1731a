// One browser for a file of tests, a fresh server and profile for each test; whatever the page
// complains about fails the test.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { afterAll, afterEach, beforeAll, expect, inject } from 'vitest'
import { launch } from './browser.mjs'
import { startMock } from './mock/server.mjs'

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
    for (const { context, mock, complaints } of all) {
      await context.close()
      await mock.close()
      expect(complaints).toEqual([])
    }
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
    page.setDefaultTimeout(20_000)
    const complaints = []
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type()) && !EXPECTED.test(message.text()))
        complaints.push(message.text())
    })
    open.push({ context, mock, complaints })
    await page.goto(mock.url + path)
    return { page, mock, world: mock.world, context }
  }
}

/** Opens the first project of the test server. */
export async function openProject(page, name = 'Garden planner') {
  await page.getByRole('option', { name: new RegExp(name) }).click()
  await page.getByLabel('Message to the agent').waitFor()
}

export const project = (world, name = 'Garden planner') =>
  [...world.projects.values()].find((each) => each.name === name)

export async function prompt(page, text) {
  await page.getByLabel('Message to the agent').first().fill(text)
  await page.getByLabel('Message to the agent').first().press('Enter')
}

/** The text of the conversation, top to bottom. */
export const transcript = (page) =>
  page
    .locator('[role=log][data-session] [role=article]')
    .evaluateAll((rows) => rows.map((row) => row.textContent.trim()))

/** Answers with the value once it is as wanted. */
export const poll = (read) => expect.poll(read, { timeout: 20_000, interval: 50 })

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
