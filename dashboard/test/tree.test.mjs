import { describe, expect, test } from 'vitest'
import {
  command,
  harness,
  openProject,
  poll,
  project,
  prompt,
  untilTold,
  violations,
} from './harness.mjs'

const start = harness()
const session = (world) => project(world).session()

/** A conversation of two messages and their answers. */
async function two() {
  const started = await start()
  const { page } = started
  await openProject(page)
  await prompt(page, 'hello first')
  await page.getByText('You said: hello first').waitFor()
  await prompt(page, 'hello second')
  await page.getByText('You said: hello second').waitFor()
  await poll(() => session(started.world).status).toBe('idle')
  return started
}

describe('a conversation as a tree', () => {
  const menu = async (page, text, item) => {
    const article = page.locator('[role=article]').filter({ hasText: `You: ${text}` })
    await article.hover()
    await article.getByLabel('More for this message').click()
    await page.getByRole('menuitem', { name: item }).click()
  }
  const more = async (page, item) => {
    await page.getByRole('button', { name: 'More', exact: true }).click()
    await page.getByRole('menuitem', { name: item }).click()
  }

  test('goes back to a message, and by its branches to where it was', async () => {
    const { page, world } = await two()
    await menu(page, 'hello second', /Go back to here/)
    await poll(() => page.getByText('You said: hello second').count()).toBe(0)
    await poll(() => page.getByLabel('Message to the agent').inputValue()).toBe('hello second')
    await prompt(page, 'hello other')
    await page.getByText('You said: hello other').waitFor()
    // While the agent works the conversation stays where it is.
    await poll(() => session(world).status).toBe('idle')
    await more(page, /All branches/)
    const dialog = page.getByRole('dialog', { name: 'All branches' })
    await dialog.getByText('You are here').waitFor()
    expect(await violations(page)).toEqual([])
    await dialog.getByRole('button', { name: /End of a branch/ }).click()
    await poll(() => dialog.count()).toBe(0)
    await page.getByText('You said: hello second').waitFor()
    await poll(() => page.getByText('You said: hello other').count()).toBe(0)
  })

  test('goes back with a summary of what is left, from a message and from its branches', async () => {
    const { page, world } = await two()
    await menu(page, 'hello second', /Go back with a summary/)
    await page
      .getByText('What came before was summed up')
      .or(page.getByText('summed up'))
      .first()
      .waitFor()
    await poll(() => page.getByText('You said: hello second').count()).toBe(0)
    await poll(() => session(world).messages.at(-1).message.role).toBe('branchSummary')
    await more(page, /All branches/)
    const dialog = page.getByRole('dialog', { name: 'All branches' })
    await dialog.getByLabel('Sum up for the model what is left behind').check()
    await dialog
      .getByRole('button', { name: /End of a branch/ })
      .last()
      .click()
    await poll(() => dialog.count()).toBe(0)
    await poll(() => session(world).messages.at(-1).message.role).toBe('branchSummary')
    expect(session(world).left.length).toBeGreaterThan(0)
  })

  test('names a message, which is found among its branches', async () => {
    const { page, world } = await two()
    await menu(page, 'hello first', /Name this message/)
    await page.getByLabel('Name', { exact: true }).fill('the beginning')
    await page.getByLabel('Name', { exact: true }).press('Enter')
    await poll(() => [...session(world).labels.values()]).toEqual(['the beginning'])
    await more(page, /All branches/)
    await page.getByRole('dialog').getByText('the beginning').waitFor()
  })

  test('says when its branches cannot be read, and reads them when asked again', async () => {
    const { page, world } = await two()
    // What dialogs are made of is there by then.
    await menu(page, 'hello first', /Name this message/)
    await page.getByRole('button', { name: 'Cancel' }).click()
    await page.getByRole('button', { name: 'More', exact: true }).click()
    world.cut()
    await page.getByRole('menuitem', { name: /All branches/ }).click()
    const dialog = page.getByRole('dialog', { name: 'All branches' })
    await dialog.getByText('They are kept with the project').waitFor()
    world.down = false
    await dialog.getByRole('button', { name: 'Try again' }).click()
    await dialog.getByText('You are here').waitFor()
  })

  test('is copied up to a message into a session of its own', async () => {
    const { page, world } = await two()
    await menu(page, 'hello second', /Copy up to here/)
    await poll(() => project(world).sessions.size).toBe(2)
    await poll(() => page.getByLabel('Message to the agent').last().inputValue()).toBe(
      'hello second',
    )
    const copy = session(world)
    expect(copy.messages).toHaveLength(2)
    await page.locator(`[data-session="${copy.id}"]`).getByText('You said: hello first').waitFor()
  })

  test('is kept as a page', async () => {
    const { page, world } = await two()
    const download = page.waitForEvent('download')
    await command(page, 'export', 'Export the conversation as a page')
    expect((await download).suggestedFilename()).toBe(`conversation-${session(world).id}.html`)
  })

  test('stays where it is while the agent works, and says why', async () => {
    const { page, world } = await two()
    session(world).run = { stopped: false }
    await menu(page, 'hello first', /Go back to here/)
    await untilTold(page, 'The conversation stays where it is')
    await untilTold(page, 'the agent is working')
    session(world).run = null
  })
})

describe('the context', () => {
  test('says how full it is, and is compacted by hand', async () => {
    const { page, world } = await start()
    project(world).compacts = true
    project(world).contextWindow = 10_000
    await openProject(page)
    await prompt(page, 'hello')
    await page.getByText('You said: hello').waitFor()
    const meter = page.getByRole('button', { name: /Context: 75 % used/ })
    await meter.click()
    await page.getByText('7,460 of 10,000 tokens').waitFor()
    expect(await violations(page)).toEqual([])
    await page.getByRole('button', { name: 'Compact now' }).click()
    await page.getByText('What came before was summed up for the model').waitFor()
  })
})
