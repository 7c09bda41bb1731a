// Walks the app against the test server and saves pictures of every screen, to be looked at.
import { mkdirSync } from 'node:fs'
import { launch } from './browser.mjs'
import { startMock } from './mock/server.mjs'

const out = process.argv[2] ?? '/tmp/toft-shots'
const only = process.argv[3]
mkdirSync(out, { recursive: true })
const browser = await launch()

async function pageFor(mock, { width = 1440, height = 900, scheme = 'light' } = {}) {
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: scheme,
    hasTouch: width < 700,
  })
  const page = await context.newPage()
  page.on(
    'console',
    (m) =>
      (m.type() === 'error' || m.type() === 'warning') && console.log(`  [${m.type()}]`, m.text()),
  )
  page.on('pageerror', (e) => console.log('  [pageerror]', e.message))
  await page.goto(mock.url)
  return page
}
const shot = async (page, name) => {
  await page.screenshot({ path: `${out}/${name}.png` })
  console.log(name)
}
const prompt = async (page, text) => {
  await page.getByLabel('Message to the agent').first().fill(text)
  await page.keyboard.press('Enter')
}
const done = (page) =>
  page
    .getByText(/Ran|Demo, no cost|US\$|demo, no cost/)
    .last()
    .waitFor()

const views = {
  light: { scheme: 'light' },
  dark: { scheme: 'dark' },
  phone: { width: 420, scheme: 'light' },
  'phone-dark': { width: 420, scheme: 'dark' },
}

for (const [view, options] of Object.entries(views)) {
  if (only && only !== view) continue
  const phone = Boolean(options.width)
  const mock = await startMock({ pace: 0.4 })
  const page = await pageFor(mock, options)
  await page.getByText('Garden planner').waitFor()
  await shot(page, `${view}-home`)
  await page.getByPlaceholder('Open, run').fill('gar')
  await shot(page, `${view}-home-typed`)
  await page.keyboard.press('Enter')
  await page.getByText('What shall be done?').waitFor()
  await page.waitForTimeout(300)
  await shot(page, `${view}-workspace-empty`)

  if (!phone) {
    await page.getByRole('button', { name: /Claude Sonnet/ }).click()
    await page.waitForTimeout(200)
    await shot(page, `${view}-models`)
    await page.keyboard.press('Escape')
  }
  await prompt(page, 'Build a small task app that keeps its data, and start it.')
  await page.getByText('Wrote').first().waitFor()
  await shot(page, `${view}-chat-working`)
  await page.getByText('Open it from').waitFor({ timeout: 20_000 })
  await page.waitForTimeout(500)
  await shot(page, `${view}-chat-done`)
  if (!phone) {
    await page
      .getByRole('button', { name: /Task app/ })
      .first()
      .click()
    await page.frameLocator('iframe').getByText('Water the beans').waitFor()
    await page.waitForTimeout(300)
    await shot(page, `${view}-app`)
    await page
      .getByRole('button', { name: /Task app/ })
      .first()
      .click({ button: 'right' })
    await page.waitForTimeout(200)
    await shot(page, `${view}-context-menu`)
    await page.keyboard.press('Escape')
    await page.keyboard.press('Alt+t')
    await page.locator('.xterm').waitFor()
    await page.waitForTimeout(400)
    await page.keyboard.type('ls\r')
    await page.waitForTimeout(300)
    await shot(page, `${view}-terminal`)
    await page.keyboard.press('Alt+f')
    await page.getByRole('button', { name: 'server.mjs', exact: true }).click()
    await page.waitForTimeout(300)
    await shot(page, `${view}-files`)
    await page.getByRole('button', { name: 'README.md', exact: true }).click()
    await page.waitForTimeout(300)
    await page.keyboard.press('Alt+l')
    await page.waitForTimeout(300)
    await shot(page, `${view}-log`)
    await page.getByText('Processes', { exact: true }).click()
    await page.locator('[aria-label="Log panel"] button', { hasText: 'node server.mjs' }).click()
    await page.waitForTimeout(1200)
    await shot(page, `${view}-processes`)
    await page.keyboard.press('Control+k')
    await page.waitForTimeout(200)
    await shot(page, `${view}-palette`)
    await page.keyboard.type('stop the')
    await page.keyboard.press('Enter')
    await page.waitForTimeout(200)
    await shot(page, `${view}-confirm`)
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: 'Running', exact: true }).click()
    await page.waitForTimeout(200)
    await shot(page, `${view}-machine`)
    await page.keyboard.press('Escape')
  } else {
    await page.getByRole('button', { name: 'Sidebar' }).click()
    await page.waitForTimeout(200)
    await shot(page, `${view}-sidebar`)
    await page
      .getByRole('button', { name: /Task app/ })
      .first()
      .click()
    await page.waitForTimeout(500)
    await shot(page, `${view}-app`)
    await page.getByRole('tab').first().click()
  }
  await prompt(page, 'Write a script that fails, run it, and mend it.')
  await page.getByText('Mended').waitFor({ timeout: 20_000 })
  await page.waitForTimeout(300)
  // Opens the failed run (what is drawn changes as it scrolls, so by name).
  await page.getByRole('button', { name: /Ran python3 count.py/ }).click()
  await page.waitForTimeout(200)
  await shot(page, `${view}-failed-tool`)
  await prompt(page, 'Please ask me a question')
  await page.getByText('Where should the tasks').first().waitFor()
  await page.waitForTimeout(300)
  await shot(page, `${view}-question`)
  await page.getByText('A JSON file').click()
  await page.getByRole('button', { name: 'Answer' }).click()
  await page.getByText('I will do it that way').waitFor()
  await prompt(page, 'the key is refused')
  await page.getByText(/Trying again/).waitFor()
  await shot(page, `${view}-retrying`)
  await page.getByText('invalid x-api-key').first().waitFor()
  await page.waitForTimeout(300)
  await shot(page, `${view}-model-error`)
  await prompt(page, 'a long run')
  await page.getByText('This takes a while').waitFor()
  await prompt(page, 'Then write down what you did')
  await prompt(page, 'And tidy up after it')
  await page.getByLabel('Message to the agent').first().fill('Use fewer steps')
  await page.waitForTimeout(400)
  await shot(page, `${view}-queue`)

  await page.goto(`${mock.url}/settings`)
  await page.getByText('Anthropic').first().waitFor()
  await page.waitForTimeout(400)
  await shot(page, `${view}-settings`)
  mock.world.keys.set('openai', { source: 'settings', hint: '…k9f2' })
  await page.goto(mock.url)
  await page.goto(`${mock.url}/settings#providers`)
  await page.getByRole('button', { name: 'Test' }).nth(1).click()
  await page.waitForTimeout(300)
  await page.locator('#providers').scrollIntoViewIfNeeded()
  await shot(page, `${view}-providers`)
  await page.locator('#host').scrollIntoViewIfNeeded()
  await shot(page, `${view}-host`)

  mock.world.signedIn = false
  await page.goto(`${mock.url}/?signIn=expired`)
  await page.getByText('Sign in to Toft').waitFor()
  await shot(page, `${view}-sign-in`)
  await page.context().close()
  await mock.close()

  const empty = await startMock({ keys: [], projects: false, pace: 0.3 })
  const fresh = await pageFor(empty, options)
  await fresh.getByText('No projects yet').waitFor()
  await shot(fresh, `${view}-home-empty`)
  await fresh.getByPlaceholder('Open, run').fill('Beans')
  await fresh.keyboard.press('Enter')
  await fresh.getByText('What shall be done?').waitFor()
  await prompt(fresh, 'hello there')
  await fresh.getByText('I am the test agent').waitFor()
  await done(fresh)
  await fresh.waitForTimeout(300)
  await shot(fresh, `${view}-demo`)
  empty.world.down = true
  ;[...empty.world.projects.values()][0].subscribers.clear()
  await fresh.goto(empty.url).catch(() => {})
  await fresh.context().close()
  await empty.close()
}
await browser.close()
