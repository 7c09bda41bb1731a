// Pictures of the panels of a project's machine, to be looked at.
import { mkdirSync } from 'node:fs'
import { launch } from './browser.mjs'
import { withPast } from './machine-world.mjs'
import { withRuns } from './mock/run-routes.mjs'
import { startMock } from './mock/server.mjs'

const out = process.argv[2] ?? '/tmp/toft-shots'
mkdirSync(out, { recursive: true })
const browser = await launch()
const views = {
  light: { width: 1280, scheme: 'light' },
  dark: { width: 1280, scheme: 'dark' },
  phone: { width: 420, scheme: 'light' },
}

for (const [view, { width, scheme }] of Object.entries(views)) {
  const mock = await startMock({ pace: 0.05 })
  const project = [...mock.world.projects.values()].find((each) => each.name === 'Garden planner')
  const context = await browser.newContext({
    viewport: { width, height: 860 },
    colorScheme: scheme,
  })
  const page = await context.newPage()
  page.on('console', (m) => ['error', 'warning'].includes(m.type()) && console.log(' ', m.text()))
  page.on('pageerror', (error) => console.log('  pageerror', error.message))
  const shot = async (name) => {
    await page.waitForTimeout(250)
    await page.screenshot({ path: `${out}/${view}-${name}.png` })
    console.log(`${view}-${name}`)
  }
  await page.goto(mock.url)
  await page.getByRole('option', { name: /Garden planner/ }).click()
  const composer = page.getByLabel('Message to the agent').first()
  await composer.fill('Build a small task app that keeps its data, and start it.')
  await composer.press('Enter')
  await page.getByText('Open it from').waitFor()
  withPast(project)
  await composer.fill('hello, one more thing')
  await composer.press('Enter')
  await page.getByText('You said: hello').waitFor()

  await page.keyboard.press('Alt+k')
  await page.getByText('Keep now').waitFor()
  await shot('checkpoints')
  await page
    .getByRole('button', { name: /Before the rewrite/ })
    .first()
    .click()
  await page.getByRole('button', { name: /notes\.md/ }).click()
  await page.getByText('north wall').waitFor()
  await shot('checkpoint-diff')
  await page.getByRole('button', { name: 'Change', exact: true }).click()
  await shot('checkpoint-rule')
  await page.getByRole('button', { name: 'Cancel' }).click()
  await page.getByRole('button', { name: 'Go back…' }).click()
  await page.getByRole('dialog').getByRole('heading', { name: 'Conversations' }).waitFor()
  await shot('restore')
  project.side.base = 'host-2'
  await page.getByRole('dialog').getByRole('button', { name: 'Go back', exact: true }).click()
  await page.getByText('others now').waitFor()
  await shot('restore-conflict')
  project.side.base = 'host-1'
  await page.getByRole('button', { name: 'Cancel' }).click()
  await page.getByRole('button', { name: 'Fork…' }).click()
  await shot('fork')
  await page.keyboard.press('Escape')
  await page.keyboard.press('Alt+i')
  await page.getByText('Cold after').waitFor()
  await page.getByLabel('Memory', { exact: true }).fill('256 MiB')
  await shot('machine')
  await page.getByRole('button', { name: /protections/ }).click()
  await page.getByRole('button', { name: /protections/ }).scrollIntoViewIfNeeded()
  await page
    .locator('[aria-label="Machine panel"] .overflow-y-auto')
    .evaluate((e) => e.scrollTo(0, 9999))
  await shot('machine-end')
  await page.keyboard.press('Alt+s')
  await page
    .getByLabel('Services panel')
    .getByRole('button', { name: /^Task app/ })
    .click()
  await page.getByRole('log', { name: 'Log of the service' }).getByText('GET').waitFor()
  await shot('services')
  withRuns(project)
  await page.keyboard.press('Alt+r')
  const runs = page.getByLabel('Runs panel')
  await runs.getByText('Move the shed').waitFor()
  await shot('runs')
  await runs.getByRole('button', { name: 'New run' }).click()
  await page.getByRole('dialog').getByLabel('Prompt').fill('Add a page for beds')
  await page.getByRole('dialog').getByLabel('Ask me before building').check()
  await shot('run-form')
  await page.getByRole('button', { name: 'Start' }).click()
  await runs.getByRole('button', { name: 'Approve and build' }).waitFor()
  await shot('run-plan')
  await runs.getByRole('button', { name: 'Approve and build' }).click()
  await runs.getByRole('link', { name: 'Workspace' }).waitFor()
  await shot('run-done')
  await page.keyboard.press('Alt+j')
  await page
    .getByLabel('Schedules panel')
    .getByRole('button', { name: /^Backup/ })
    .click()
  await shot('schedules')
  await page.getByRole('button', { name: 'Add', exact: true }).click()
  await shot('schedule-form')
  await page.keyboard.press('Escape')
  project.emit('limit', null, {
    kind: 'memory',
    command: 'node --max-old-space-size=8192 build.mjs',
    pid: 212,
    peak: 4 * 2 ** 30,
    limit: 4 * 2 ** 30,
    message:
      'The kernel ended it because the machine’s memory limit was reached. Give the machine more memory, or have the work use less.',
  })
  if (view === 'phone') await page.getByRole('tab').first().click()
  await shot('limit')
  const message = page.getByRole('button', { name: 'More for this message' }).last()
  await message.hover()
  await message.click()
  await shot('message-menu')
  await page.getByRole('menuitem', { name: /Restore to here/ }).click()
  await shot('restore-message')
  await page.getByRole('dialog').getByRole('button', { name: 'Go back', exact: true }).click()
  await page
    .getByText(/^Went back to/)
    .first()
    .waitFor()
  await shot('restored')
  if (view === 'phone') await page.getByRole('button', { name: 'Sidebar' }).click()
  await shot('sidebar')
  project.state = 'frozen'
  mock.world.images.push({
    key: 'py',
    name: 'Python 3.14',
    kind: 'oci',
    source: 'python:3.14',
    createdAt: 0,
    bytes: 1e8,
    state: 'ready',
    default: false,
  })
  project.session().status = 'waiting'
  await page.goto(mock.url)
  await page.getByRole('option', { name: /Garden planner/ }).waitFor()
  await shot('home')
  await page.keyboard.type('Bean rows')
  await page.getByText('from Python').waitFor()
  await shot('images')
  await context.close()
  await mock.close()
}
await browser.close()
