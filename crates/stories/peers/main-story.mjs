// The main story in a real Chromium: from the sign-in link to an app that keeps data, through a
// stop and a kill. Which backend makes the machine it neither knows nor asks: what the machine can is
// what the page must offer. Speaks with the test that started it over standard streams: prints `kill`,
// waits for `up`; prints `left out` and what the machine cannot. Made
// by the test: a folder for screenshots.
import { createInterface } from 'node:readline'
import { begin, command as ran, expect, made, signIn } from './chromium.mjs'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

const { page, tell } = await begin({ strict: true })

let step = 0
async function shot(name) {
  step += 1
  await page.screenshot({ path: `${made.shots}/${String(step).padStart(2, '0')}-${name}.png` })
}

const command = (words) => ran(page, words)

async function say(text) {
  const composer = page.getByLabel('Message to the agent').first()
  await composer.fill(text)
  await composer.press('Enter')
}

/** Waits until `count` receipts stand in the transcript, or fails with what is on the page. */
async function receipts(count) {
  await page
    .getByRole('button', { name: /demo, no cost/i })
    .nth(count - 1)
    .waitFor({ timeout: 120_000 })
}

await tell(async () => {
  // 2. The link opens the dashboard, signed in; the home screen is the palette.
  await signIn(page)
  const input = page.getByPlaceholder('Open, run, or name a new project')
  await shot('home')

  // 3. A project.
  await input.fill('Household')
  await page.getByRole('option', { name: /Create project Household/ }).click()
  await page.waitForURL(/\/projects\/[a-z][a-z0-9]{11}/)
  const project = new URL(page.url()).pathname.split('/')[2]
  await page.getByLabel('Message to the agent').first().waitFor()
  await shot('new-project')

  // 4. A prompt; text, tools and results stream in.
  await say('Build a small task app that keeps its data, and start it.')
  await page.getByText(/demo/i).first().waitFor()
  await shot('streaming')
  await receipts(1)
  await shot('built')

  // 5. The sidebar shows the service; one click opens the app beside the chat, on its own origin.
  const service = page.locator('aside, nav').getByText(/task|to-do/i).first()
  await service.waitFor()
  await service.click()
  const handle = await page.locator('iframe').first().elementHandle()
  const frame = await handle.contentFrame()
  await frame.waitForLoadState()
  await frame.waitForURL((url) => url.hostname.endsWith('.localhost'))
  const origin = new URL(frame.url()).origin
  expect(origin !== new URL(page.url()).origin, 'the app has an origin of its own')
  expect(origin.includes(project), `the app's origin ${origin} names its project`)
  const field = frame.locator('input[type=text], input:not([type])').first()
  await field.fill('Water the plants')
  await field.press('Enter')
  await frame.getByText('Water the plants', { exact: true }).waitFor()
  await shot('app')
  await page.getByRole('button', { name: 'Reload' }).first().click()
  // Another frame takes its place.
  await handle.waitForElementState('hidden')
  const again = page.frameLocator('iframe').first()
  await again.getByText('Water the plants', { exact: true }).waitFor()

  // What an app could try: the dashboard, the agent's API.
  const tries = await again.locator('body').evaluate(async (_body, own) => {
    const outcome = {}
    try {
      outcome.parent = String(window.parent.document.title)
    } catch {
      outcome.parent = 'refused'
    }
    outcome.cookies = document.cookie
    for (const [name, url] of [
      ['bridge', '/toft/state'],
      ['starter', '/starter/prompt'],
      ['control', `${own}/v1/projects`],
    ]) {
      try {
        const answer = await fetch(url, { credentials: 'include' })
        outcome[name] = answer.status
      } catch {
        outcome[name] = 'refused'
      }
    }
    return outcome
  }, new URL(page.url()).origin)
  expect(tries.parent === 'refused', 'an app reads its parent')
  expect(!/toft/.test(tries.cookies), `an app sees ${tries.cookies}`)
  expect(tries.bridge === 401, `the bridge answered an app with ${tries.bridge}`)
  expect(tries.starter === 401, `the bridge answered an app with ${tries.starter}`)
  expect(tries.control === 'refused', `the control plane answered an app with ${tries.control}`)

  // A terminal is a real shell in the machine.
  await command('New terminal')
  const terminal = page.locator('.xterm').first()
  await terminal.waitFor()
  await terminal.click()
  await page.waitForTimeout(500)
  await page.keyboard.type('echo sum $((40+2)) in $TOFT_PROJECT\n')
  await page.getByText(`sum 42 in ${project}`).first().waitFor()
  await shot('terminal')

  // 6. Stop, start: conversation, files and database are there.
  await command('Stop the machine')
  const confirm = page.getByRole('button', { name: 'Stop', exact: true }).last()
  await confirm.click()
  const start = page.getByRole('banner').getByRole('button', { name: 'Start', exact: true })
  await start.waitFor()
  await shot('stopped')
  await start.click()
  // Not only "Starting…": a page that is left at once takes back what it has just asked for.
  const starting = page.getByRole('banner').getByRole('button', { name: /^Start/ })
  await starting.waitFor({ state: 'hidden' })
  await page.reload()
  await receipts(1)
  await page.getByText('Build a small task app that keeps its data').first().waitFor()

  // The server is killed in mid-prompt: the work goes on.
  await say('Do a long run, please.')
  await page.getByText(/I count to/).first().waitFor()
  await page.waitForTimeout(1_500)
  console.log('kill')
  await lines.next()
  await receipts(2)
  await shot('after-kill')
  await page.reload()
  await receipts(2)
  const count = await page.getByText('Do a long run, please.').count()
  expect(count >= 1, 'the prompt is there after the reload')

  // 7. Back to before that prompt, and a copy of the project as it was then. What the backend cannot,
  // the page does not offer.
  const can = await page.evaluate(async (id) => {
    const answer = await fetch(`/v1/projects/${id}/machine`)
    return (await answer.json()).data.can
  }, project)
  // Without a freezer, files that are copied one by one are only kept while the machine is stopped, and
  // so not before a prompt.
  const whileItRuns = can.liveCheckpoint || can.freeze
  const kept = can.checkpoint && whileItRuns
  const more = page.getByRole('button', { name: 'More for this message' }).last()
  await more.focus()
  await page.keyboard.press('Enter')
  await page.getByRole('menuitem', { name: 'Copy the text' }).waitFor()
  const back = page.getByRole('menuitem', { name: 'Restore to here…' })
  expect((await back.count()) === Number(kept), `going back is offered: ${kept}`)
  if (kept) {
    await back.click()
    const asked = page.getByRole('dialog')
    await asked.getByText(/moves back by \d+ messages/).waitFor()
    await shot('restore-preview')
    await asked.getByRole('button', { name: 'Go back', exact: true }).click()
    await page.getByText(/^Went back to/).last().waitFor()
    const gone = page.getByRole('article').filter({ hasText: 'Do a long run, please.' })
    await gone.waitFor({ state: 'detached' })
    const composer = page.getByLabel('Message to the agent').first()
    expect((await composer.inputValue()) === 'Do a long run, please.', 'its text can be sent again')
    await composer.fill('')
    await receipts(1)
    await shot('restored')
  } else {
    await page.keyboard.press('Escape')
    console.log('left out going back to a message: no checkpoint is taken before prompts here')
  }
  await command('Open checkpoints')
  await page
    .getByLabel('Checkpoints panel')
    .getByText(
      kept ? 'Before going back' : can.checkpoint ? 'No checkpoints yet' : 'No checkpoints here',
      { exact: true },
    )
    .first()
    .waitFor()
  await shot('checkpoints')
  if (can.fork && whileItRuns) {
    await command('Fork Household')
    await page.getByLabel('Name', { exact: true }).fill('Second household')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Second household' }).waitFor()
    await page.getByText(/^Forked from Household/).last().waitFor()
    await receipts(1)
    await shot('forked')
    await page.goto(new URL(`/projects/${project}`, page.url()).href)
  } else console.log('left out the fork: a machine that runs is not forked here')
  await page.getByRole('button', { name: /Commands/ }).click()
  await page.getByPlaceholder('Open, run, or name a new project').fill('Fork Household')
  const offered = page.getByRole('option', { name: 'Fork Household…' })
  await (can.fork ? offered : page.getByRole('option').first()).waitFor()
  expect((await offered.count()) === Number(can.fork), `forking is offered: ${can.fork}`)
  await page.keyboard.press('Escape')
  await command('Open the machine')
  await page.getByText('Its processes run, and it answers at once.').waitFor()
  const freeze = page.getByLabel('Machine panel').getByRole('button', { name: 'Freeze' })
  expect((await freeze.count()) === Number(can.freeze), `freezing is offered: ${can.freeze}`)
  await page.getByRole('button', { name: /protections and abilities are in force/ }).click()
  for (const [name, has] of [
    ['Checkpoints', can.checkpoint],
    ['Forks', can.fork],
    ['Freezing', can.freeze],
    ['Guarded network', can.egress],
  ]) {
    const panel = page.getByLabel('Machine panel')
    const row = panel.getByRole('listitem').filter({ has: page.getByText(name, { exact: true }) })
    const shown = row.first().getByRole('img', { name: has ? 'in force' : 'not in force', exact: true })
    await shown.waitFor().catch(async () => {
      expect(false, `the panel shows ${name}: ${has}, in ${await panel.allInnerTexts()}`)
    })
  }
  await shot('machine')

  // Light and dark, settings, a narrow window.
  await command('Settings')
  await page.getByText(/Providers/i).first().waitFor()
  await shot('settings')
  await page.goBack()
  await page.emulateMedia({ colorScheme: 'dark' })
  await receipts(1)
  await shot('dark')
  await page.setViewportSize({ width: 420, height: 900 })
  await page.waitForTimeout(400)
  await shot('narrow')
}, { failed: () => shot('failed') })
