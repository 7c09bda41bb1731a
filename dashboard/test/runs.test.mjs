import { describe, expect, test } from 'vitest'
import {
  command,
  harness,
  openProject,
  poll,
  project,
  untilFocused,
  untilGone,
  untilSeen,
  untilTold,
  violations,
} from './harness.mjs'
import { withRuns } from './mock/run-routes.mjs'

const start = harness()
const area = (page) => page.getByLabel('Runs panel')
const form = (page) => page.getByRole('dialog', { name: 'New run' })
const events = (page) => area(page).getByRole('log')

/** The panel of a project, with what is made of it first. */
async function withPanel(make = () => {}, options = {}) {
  const started = await start(options)
  const garden = project(started.world)
  make(garden)
  await openProject(started.page)
  await started.page.keyboard.press('Alt+r')
  await area(started.page).waitFor()
  return { ...started, garden, panel: area(started.page) }
}

/** Asks for a run as a person does. */
async function ask(page, prompt, also = []) {
  await area(page).getByRole('button', { name: 'New run' }).click()
  await form(page).getByLabel('Prompt').fill(prompt)
  for (const label of also) await form(page).getByLabel(label).check()
  await form(page).getByRole('button', { name: 'Start' }).click()
  await untilGone(page, form(page))
}

const status = (page, word) => area(page).getByRole('status').filter({ hasText: word }).waitFor()

describe('runs', () => {
  test('are explained where there is none, asked for, and told as they go to their end', async () => {
    const { page, garden, panel } = await withPanel()
    await panel.getByText('A run is work that is done without you', { exact: false }).waitFor()
    expect(await violations(page)).toEqual([])
    await panel.getByRole('button', { name: 'New run' }).click()
    await form(page).getByRole('button', { name: 'Start' }).click()
    await form(page).getByText('Say what is to be done.').waitFor()
    expect(await form(page).getByLabel('Go on from the last run').isDisabled()).toBe(true)
    await form(page).getByLabel('Prompt').fill('Add a page for beds')
    expect(await violations(page)).toEqual([])
    await form(page).getByLabel('Prompt').press('Control+Enter')

    await panel.getByRole('heading', { name: 'Run 1' }).waitFor()
    await untilFocused(panel.getByRole('heading', { name: 'Run 1' }))
    await status(page, 'Done')
    await panel.getByText('A page for beds, and a test that it stays.').waitFor()
    await events(page).getByText('I look at what is there first.').waitFor()
    // The plan stands above: its JSON is not told a second time.
    expect(await events(page).getByText('acceptanceCriteria').count()).toBe(0)
    await events(page).getByText('Committed as 9b7de01').waitFor()
    await events(page)
      .getByRole('button', { name: /^Ran npm test/ })
      .click()
    await events(page).getByText('3 passed').waitFor()
    await panel.getByRole('button', { name: 'src/beds.js', exact: true }).waitFor()
    await panel.getByText('Looked at 1 other path').waitFor()
    await panel.getByText('US$ 0.21', { exact: true }).waitFor()
    await panel.getByText('1 of 3', { exact: true }).waitFor()
    await panel.getByRole('button', { name: 'Copy the hash' }).waitFor()
    expect(await violations(page)).toEqual([])

    const [download] = await Promise.all([
      page.waitForEvent('download'),
      panel.getByRole('link', { name: 'Workspace' }).click(),
    ])
    expect(download.suggestedFilename()).toBe(`run-${garden.runs.all[0].id}-workspace.zip`)
    await panel.getByRole('button', { name: 'Open conversation' }).click()
    await untilSeen(page, page.getByRole('tab', { name: 'Run 1' }))
  })

  test('wait for a word on their plan where that was asked for', async () => {
    const { page, garden, panel } = await withPanel()
    await ask(page, 'Add a page for beds', ['Ask me before building'])
    await status(page, 'Needs you')
    await panel.getByRole('form', { name: 'Decide on the plan' }).waitFor()
    await panel.getByText('It answers under /beds').waitFor()
    await events(page).getByText('The plan waits for you').waitFor()
    expect(await violations(page)).toEqual([])
    await panel.getByRole('button', { name: 'Approve and build' }).click()
    await status(page, 'Done')
    await events(page).getByText('Goes on').waitFor()
    expect(garden.runs.all[0]).toMatchObject({ status: 'completed', meta: { approval: true } })
    await panel.getByRole('region', { name: 'Plan' }).getByText('Add the page').waitFor()
  })

  test('may be worked on with another backend, where the server has several', async () => {
    const { page, garden } = await withPanel(undefined, {
      server: { backends: ['native', 'oci'] },
    })
    await area(page).getByRole('button', { name: 'New run' }).click()
    const where = form(page).getByRole('radiogroup', { name: 'Where' })
    expect(await where.getByLabel('native').isChecked()).toBe(true)
    await where.getByText('oci').click()
    await form(page).getByText('The project moves there first', { exact: false }).waitFor()
    expect(await violations(page)).toEqual([])
    // Copies of the project are where it is.
    await form(page).getByRole('radiogroup', { name: 'How many' }).getByText('2').click()
    await untilGone(page, where)
    await form(page).getByRole('radiogroup', { name: 'How many' }).getByText('1').click()
    await form(page).getByLabel('Prompt').fill('Add a page for beds')
    await form(page).getByRole('button', { name: 'Start' }).click()
    await status(page, 'Done')
    expect(garden.runs.all[0].meta.workspaceBackend).toBe('oci')
    await area(page).getByRole('button', { name: 'All runs' }).click()
    await ask(page, 'And another')
    await poll(() => garden.runs.all.length).toBe(2)
    expect(garden.runs.all[0].meta.workspaceBackend).toBe(null)
  })

  test('are cancelled, from the list or where one is looked at', async () => {
    const { page, garden, panel } = await withPanel(({ runs }) => {
      runs.holdsAt = 'build'
    })
    await ask(page, 'Add a page for beds')
    await status(page, 'Building')
    await panel.getByRole('button', { name: 'Cancel run' }).click()
    await status(page, 'Cancelled')
    await untilTold(page, 'Run 1 is cancelled')
    await panel.getByRole('button', { name: 'All runs' }).click()
    await untilFocused(panel.getByRole('button', { name: /Add a page for beds/ }))
    await ask(page, 'And another', ['Go on from the last run'])
    await status(page, 'Building')
    await panel.getByText('the run before it').waitFor()
    await panel.getByRole('button', { name: 'All runs' }).click()
    await panel.getByRole('button', { name: 'Cancel run 2' }).click()
    await poll(() => garden.runs.all[0].status).toBe('cancelled')
    // What is over cannot be.
    await untilGone(page, panel.getByRole('button', { name: /^Cancel run/ }))
  })

  test('are listed latest first, page by page, and a cost that nobody knows is none', async () => {
    const { page, panel } = await withPanel((garden) => withRuns(garden, 40))
    const rows = () => panel.getByRole('listitem').count()
    await poll(rows).toBe(30)
    await panel.getByRole('listitem').first().getByText('Mend the fence, part 40').waitFor()
    await panel.getByRole('listitem').first().getByText('cost not known').waitFor()
    expect(await violations(page)).toEqual([])
    await panel.getByRole('button', { name: 'Show more' }).click()
    await poll(rows).toBe(41)
    await panel.getByRole('button', { name: /Move the shed/ }).click()
    await panel.getByText('It failed, attempt 3 of 3').waitFor()
    await panel.getByText('Set another one.', { exact: false }).waitFor()
    await panel.getByText('not known', { exact: true }).waitFor()
    expect(await violations(page)).toEqual([])
    await panel.getByRole('button', { name: 'Run it again…' }).click()
    await poll(() => form(page).getByLabel('Prompt').inputValue()).toBe('Move the shed')
  })

  test('go on being told after the server was away', async () => {
    const { page, world, garden, panel } = await withPanel(({ runs }) => {
      runs.holdsAt = 'build'
    })
    await ask(page, 'Add a page for beds')
    await status(page, 'Building')
    await events(page).getByText('Wrote').waitFor()
    world.cut()
    await panel.getByText('The line to the server is broken.', { exact: false }).waitFor()
    garden.runs.tell(garden.runs.all[0], 'token', { token: 'Said meanwhile.' })
    world.down = false
    await poll(() => events(page).getByText('Said meanwhile.').count()).toBe(1)
    expect(await events(page).getByText('Begun').count()).toBe(1)
    garden.runs.go()
    await status(page, 'Done')
  })

  test('are taken back, on a narrow screen in the dark too', async () => {
    const options = { width: 420, height: 800, scheme: 'dark' }
    const { page, panel } = await withPanel(() => {}, options)
    const height = async (of) => (await of.boundingBox()).height
    await panel.getByRole('button', { name: 'New run' }).click()
    // Several lines are asked for.
    expect(await height(form(page).getByLabel('Prompt'))).toBeGreaterThan(80)
    await page.keyboard.press('Escape')
    await ask(page, 'Add a page for beds')
    await status(page, 'Done')
    expect(await violations(page)).toEqual([])
    const button = panel.getByRole('button', { name: 'Open conversation' })
    const workspace = panel.getByRole('link', { name: 'Workspace' })
    expect(await height(workspace)).toBe(await height(button))
    const beyond = () =>
      panel.evaluate((element) =>
        [...element.querySelectorAll('*')].some(
          (each) => each.scrollWidth > 0 && each.getBoundingClientRect().right > 421,
        ),
      )
    expect(await beyond()).toBe(false)
    await panel.getByRole('button', { name: 'Go back to before this run…' }).click()
    await page
      .getByRole('dialog')
      .getByText(/^Go back to/)
      .first()
      .waitFor()
  })

  test('are a command, and their steps stand in the log', async () => {
    const { page } = await withPanel()
    await command(page, 'new run', 'New run…')
    await form(page).getByLabel('Prompt').fill('Add a page for beds')
    await form(page).getByRole('button', { name: 'Start' }).click()
    await status(page, 'Done')
    await page.keyboard.press('Alt+l')
    await page.getByText('A run is done, committed as 9b7de01').waitFor()
  })
})
