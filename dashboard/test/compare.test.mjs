import { describe, expect, test } from 'vitest'
import {
  enterIsSafe,
  harness,
  openProject,
  poll,
  project,
  untilFocused,
  untilGone,
  untilTold,
  violations,
} from './harness.mjs'

const start = harness()
const area = (page) => page.getByLabel('Runs panel')
const form = (page) => page.getByRole('dialog', { name: 'New run' })
const column = (page, n) =>
  area(page).getByRole('listitem', { name: `Candidate ${n}`, exact: true })
const status = (page, word) => area(page).getByRole('status').filter({ hasText: word }).waitFor()

async function withPanel(make = () => {}, options = {}) {
  const started = await start(options)
  const garden = project(started.world)
  make(garden)
  await openProject(started.page)
  await started.page.keyboard.press('Alt+r')
  await area(started.page).waitFor()
  return { ...started, garden, panel: area(started.page) }
}

/** Asks for several as a person does. */
async function ask(page, prompt, count) {
  await area(page).getByRole('button', { name: 'New run' }).click()
  await form(page).getByLabel('Prompt').fill(prompt)
  await form(page)
    .getByRole('radiogroup', { name: 'How many' })
    .getByText(String(count), { exact: true })
    .click()
  await form(page).getByRole('button', { name: 'Start' }).click()
  await untilGone(page, form(page))
}

describe('runs side by side', () => {
  test('are asked for, compared, and one is kept', async () => {
    const { page, world, garden, panel } = await withPanel((made) =>
      made.comparisons.failing.add(2),
    )
    const before = world.projects.size
    await ask(page, 'Add a page for beds', 3)
    await panel.getByRole('heading', { name: 'Compare 3 runs' }).waitFor()
    await untilFocused(panel.getByRole('heading', { name: 'Compare 3 runs' }))
    await status(page, 'Keep one')
    expect(world.projects.size).toBe(before + 3)
    await column(page, 1).getByText('Done', { exact: true }).waitFor()
    await column(page, 1).getByText('1 file, +2').waitFor()
    await column(page, 1).getByText('US$ 0.21').waitFor()
    await column(page, 3).getByText('12.6 s').waitFor()
    await column(page, 2).getByRole('img', { name: 'failed' }).waitFor()
    await column(page, 2).getByText('The page is there, and a test that it stays.').waitFor()
    expect(await violations(page)).toEqual([])

    // The same file of each, beside what all began from.
    await panel.getByRole('button', { name: /src\/beds\.js/ }).click()
    for (const n of [1, 2, 3]) {
      const lines = panel.getByRole('region', { name: `src/beds.js, candidate ${n}` })
      await lines.getByText(`// ${'by candidate '.repeat(n).trim()}`, { exact: true }).waitFor()
    }
    expect(await violations(page)).toEqual([])

    // Copies do not stand among the projects.
    const listed = await page.evaluate(async () => (await fetch('/v1/projects')).json())
    expect(listed.data).toHaveLength(before)

    const keep = column(page, 2).getByRole('button', { name: 'Keep candidate 2…' })
    await keep.click()
    await page.getByRole('dialog').getByText('The 2 others are deleted for good').waitFor()
    expect(await violations(page)).toEqual([])
    await enterIsSafe(page)
    expect(garden.comparisons.all[0].status).toBe('open')
    await keep.click()
    await page.getByRole('dialog').getByRole('button', { name: 'Keep candidate 2' }).click()
    await untilTold(page, 'Candidate 2 is kept')
    await status(page, 'Kept candidate 2')
    await column(page, 1).getByText('Deleted, with all that it held.').waitFor()
    expect(world.projects.size).toBe(before)
    expect(garden.files.get('/home/project/src/beds.js')).toContain('by candidate by candidate\n')
    expect(await violations(page)).toEqual([])

    await panel.getByRole('button', { name: 'Show its run' }).click()
    await panel.getByRole('heading', { name: 'Run 1' }).waitFor()
    await panel.getByRole('region', { name: 'Changes' }).getByText('src/beds.js').waitFor()
    await panel.getByRole('button', { name: 'All runs' }).click()
    await panel.getByText('1 comparison decided').click()
    await panel.getByRole('button', { name: /3 runs side by side/ }).click()
    await status(page, 'Kept candidate 2')
  })

  test('are not kept while the project works, and are dropped', async () => {
    const { page, world, garden, panel } = await withPanel()
    const before = world.projects.size
    await ask(page, 'Add a page for beds', 2)
    await status(page, 'Keep one')
    garden.runs.holdsAt = 'build'
    garden.runs.ask({ prompt: 'Something else' }, 'k')
    await column(page, 1).getByRole('button', { name: 'Keep candidate 1…' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Keep candidate 1' }).click()
    await untilTold(page, 'a run that is not over')
    expect(garden.comparisons.all[0].status).toBe('open')
    await panel.getByRole('button', { name: 'Drop all…' }).click()
    await page.getByRole('dialog').getByText('The project itself stays as it is.').waitFor()
    await page.getByRole('dialog').getByRole('button', { name: 'Drop all' }).click()
    await status(page, 'Dropped')
    expect(world.projects.size).toBe(before)
    expect(await violations(page)).toEqual([])
  })

  test('each may be answered by another model', async () => {
    const { page, garden, panel } = await withPanel()
    await panel.getByRole('button', { name: 'New run' }).click()
    await form(page).getByLabel('Prompt').fill('Add a page for beds')
    const count = form(page).getByRole('radiogroup', { name: 'How many' })
    await count.getByText('2', { exact: true }).click()
    expect(await form(page).getByLabel('Go on from the last run').isDisabled()).toBe(true)
    await form(page).getByLabel('A model for each').check()
    const models = form(page).getByRole('list', { name: 'Models' })
    await models.getByRole('button').nth(1).click()
    await page.getByRole('option', { name: /Scripted demo/ }).click()
    expect(await violations(page)).toEqual([])
    await form(page).getByRole('button', { name: 'Start' }).click()
    await status(page, 'Keep one')
    const [one, two] = garden.comparisons.all[0].candidates
    expect(one.provider).toBe(garden.model.provider)
    expect(two.provider).toBe('demo')
  })

  test('stand below each other on a narrow screen, and lead into a copy and back', async () => {
    const options = { width: 420, height: 800, scheme: 'dark' }
    const { page, garden, panel } = await withPanel(() => {}, options)
    await ask(page, 'Add a page for beds', 2)
    await status(page, 'Keep one')
    const boxes = await Promise.all([1, 2].map((n) => column(page, n).boundingBox()))
    expect(boxes[1].y).toBeGreaterThanOrEqual(boxes[0].y + boxes[0].height)
    expect(boxes[0].x + boxes[0].width).toBeLessThanOrEqual(420)
    const beyond = () =>
      panel.evaluate((element) =>
        [...element.querySelectorAll('*')].some(
          (each) => each.scrollWidth > 0 && each.getBoundingClientRect().right > 421,
        ),
      )
    expect(await beyond()).toBe(false)
    expect(await violations(page)).toEqual([])
    await column(page, 2)
      .getByRole('button', { name: 'Open the conversation of candidate 2' })
      .click()
    const { copy } = garden.comparisons.all[0].candidates[1]
    await page.waitForURL(new RegExp(copy.id))
    await page.getByRole('button', { name: 'Back to the comparison' }).click()
    await page.waitForURL(new RegExp(garden.id))
    await area(page).getByRole('heading', { name: 'Compare 2 runs' }).waitFor()
    await poll(() => column(page, 1).count()).toBe(1)
  })
})
