import { describe, expect, test } from 'vitest'
import {
  command,
  enterIsSafe,
  harness,
  openProject,
  poll,
  project,
  prompt,
  transcript,
  untilFocused,
} from './harness.mjs'
import { withPast } from './machine-world.mjs'

const start = harness()
const panel = (page) => page.getByLabel('Checkpoints panel')
const dialog = (page) => page.getByRole('dialog')

/** A project with a small conversation; the first test of each shows how it comes to be. */
async function withTalk(options) {
  const started = await start({ server: { pace: 0.02 }, ...options })
  const garden = project(started.world)
  const say = async (words) => {
    await prompt(started.page, words)
    await started.page.getByText(`You said: ${words}`).waitFor()
    // Its words are seen before they are a message.
    await poll(() => garden.session().status).toBe('idle')
  }
  await openProject(started.page)
  await say('hello first')
  garden.files.set('/home/project/notes.md', 'one\n')
  await say('hello second')
  return { ...started, garden }
}

async function openPanel(page) {
  await page.keyboard.press('Alt+k')
  await page.getByRole('button', { name: 'Keep now' }).waitFor()
}

describe('checkpoints', () => {
  test('are taken before each prompt, kept by hand, named, and deleted only after asking', async () => {
    const { page, garden } = await withTalk()
    await openPanel(page)
    await panel(page).getByText('“hello first”').waitFor()
    await panel(page).getByText('“hello second”').waitFor()
    await page.getByLabel('Label of the checkpoint').fill('Before the rewrite')
    await page.getByLabel('Label of the checkpoint').press('Enter')
    await panel(page).getByText('Before the rewrite').waitFor()
    const rows = () => panel(page).getByRole('listitem').allTextContents()
    await poll(rows).toHaveLength(3)
    await poll(() => page.getByLabel('Label of the checkpoint').inputValue()).toBe('')

    const more = panel(page).getByRole('button', { name: /^More for the checkpoint/ })
    await more.first().click()
    await page.getByRole('menuitem', { name: 'Change the label' }).click()
    await page.getByLabel('Label', { exact: true }).fill('A good state')
    await page.getByLabel('Label', { exact: true }).press('Enter')
    await poll(() => garden.side.checkpoints[0].label).toBe('A good state')

    const remove = async () => {
      await more.first().click()
      await page.getByRole('menuitem', { name: 'Delete…' }).click()
      await dialog(page)
        .getByText(/Nobody can go back/)
        .waitFor()
    }
    await remove()
    await enterIsSafe(page)
    expect(garden.side.checkpoints).toHaveLength(3)
    await remove()
    await dialog(page).getByRole('button', { name: 'Delete' }).click()
    await poll(rows).toHaveLength(2)
    expect(garden.side.checkpoints).toHaveLength(2)
  })

  test('stand in days, and of a branch that was left with what is known', async () => {
    const { page, world } = await start()
    withPast(project(world))
    await openProject(page)
    await openPanel(page)
    const headings = panel(page).getByRole('heading', { level: 2 })
    await headings.nth(2).waitFor()
    const days = await headings.allTextContents()
    expect(days).toEqual([...new Set(days)])
    expect(days.length).toBeGreaterThanOrEqual(3)
    await panel(page).getByText('Before a prompt in').waitFor()
  })

  test('are compared with now: paths with sizes, lines of a text, and why others have none', async () => {
    const { page, world } = await start()
    withPast(project(world))
    await openProject(page)
    await openPanel(page)
    await panel(page)
      .getByRole('button', { name: /Before the rewrite/ })
      .click()
    await panel(page).getByText('2 paths changed since').waitFor()
    await panel(page)
      .getByRole('button', { name: /notes\.md.*41 B → 54 B/ })
      .click()
    await panel(page).getByText('The beds are by the north wall.').waitFor()
    await panel(page)
      .getByRole('button', { name: /logo\.png/ })
      .click()
    await panel(page).getByText('the file is binary').waitFor()
  })

  test('are kept by a rule that is told in a sentence and can be changed', async () => {
    const { page, garden } = await withTalk()
    await openPanel(page)
    await panel(page)
      .getByText(/Kept are the last 50, one an hour for 24 hours/)
      .waitFor()
    await panel(page).getByRole('button', { name: 'Change', exact: true }).click()
    await page.getByLabel('The last').fill('many')
    await poll(() => page.getByRole('button', { name: 'Save' }).isDisabled()).toBe(true)
    await page.getByLabel('The last').fill('5')
    await page.getByText('Those beyond it are deleted at once.').waitFor()
    await page.getByRole('switch', { name: 'Take one before every prompt' }).click()
    await page.getByRole('button', { name: 'Save' }).click()
    await panel(page)
      .getByText(/None is taken by itself/)
      .waitFor()
    // The form has said so before the server has heard of it.
    await poll(() => [garden.side.rule, garden.side.automatic]).toEqual([
      { last: 5, hourly: 24, daily: 14 },
      false,
    ])
  })

  test('are explained where the backend has none', async () => {
    const { page, world } = await start()
    const { side } = project(world)
    side.can = { ...side.can, checkpoint: false, fork: false }
    side.why = 'The backend host has no copies of disks.'
    await openProject(page)
    await page.keyboard.press('Alt+k')
    await panel(page).getByText('The backend host has no copies of disks.').waitFor()
    expect(await page.getByRole('button', { name: 'Keep now' }).count()).toBe(0)
    await page.keyboard.press('Control+k')
    await page.getByPlaceholder('Open, run').fill('checkpoint now')
    expect(await page.getByRole('option', { name: 'Checkpoint now', exact: true }).count()).toBe(0)
  })
})

describe('going back', () => {
  test('names first what changes, Enter is safe, and it can be undone from the chat', async () => {
    const { page, garden } = await withTalk()
    await openPanel(page)
    await panel(page)
      .getByRole('button', { name: /hello second/ })
      .click()
    await panel(page)
      .getByText(/^No file has changed since/)
      .waitFor()
    garden.files.set('/home/project/new.txt', 'new\n')
    await panel(page).getByRole('button', { name: 'Go back…' }).click()
    await dialog(page)
      .getByText(/moves back by 2 messages/)
      .waitFor()
    await dialog(page).getByText('1 goes away.').waitFor()
    await dialog(page)
      .getByRole('button', { name: /new\.txt/ })
      .waitFor()
    await enterIsSafe(page)
    expect(garden.session().messages).toHaveLength(4)

    await panel(page).getByRole('button', { name: 'Go back…' }).click()
    await dialog(page).getByRole('button', { name: 'Go back', exact: true }).click()
    await page
      .getByText(/^Went back to \d/)
      .first()
      .waitFor()
    await poll(() => transcript(page)).toEqual([
      'You: hello first',
      expect.stringMatching(/^You said: hello first/),
      expect.stringContaining('US$'),
      expect.stringMatching(/^Went back to/),
    ])
    expect(garden.files.has('/home/project/new.txt')).toBe(false)
    await page.reload()
    await poll(async () => (await transcript(page)).at(-1)).toMatch(/^Went back to/)

    await page.getByRole('button', { name: 'Undo…' }).click()
    await dialog(page).getByRole('button', { name: 'Go back', exact: true }).click()
    await page.getByText('You said: hello second').waitFor()
    expect(garden.files.has('/home/project/new.txt')).toBe(true)
  })

  test('over other system programs says so, and only a person may insist', async () => {
    const { page, garden } = await withTalk()
    garden.side.base = 'host-2'
    await openPanel(page)
    await panel(page)
      .getByRole('button', { name: /hello second/ })
      .click()
    await panel(page).getByRole('button', { name: 'Go back…' }).click()
    await dialog(page).getByRole('button', { name: 'Go back', exact: true }).click()
    await dialog(page)
      .getByText(/other system programs \(host-1\)/)
      .waitFor()
    expect(garden.session().messages).toHaveLength(4)
    await dialog(page).getByRole('button', { name: 'Go back all the same' }).click()
    await poll(() => garden.session().messages.length).toBe(2)
  })

  test('to a message is done by keyboard alone, and its text can be changed and sent again', async () => {
    const { page, garden } = await withTalk()
    await page.getByRole('button', { name: 'More for this message' }).last().focus()
    await page.keyboard.press('Enter')
    // The first of the menu once the checkpoints are known.
    const first = page.getByRole('menuitem', { name: 'Restore to here…' })
    await first.waitFor()
    await poll(async () => {
      await page.keyboard.press('Home')
      return first.evaluate((item) => item === document.activeElement)
    }).toBe(true)
    await page.keyboard.press('Enter')
    await dialog(page).getByText('Go back to before this message?').waitFor()
    await dialog(page)
      .getByText(/moves back by 2 messages/)
      .waitFor()
    await untilFocused(dialog(page).getByRole('button', { name: 'Cancel' }))
    await page.keyboard.press('Tab')
    await untilFocused(dialog(page).getByRole('button', { name: 'Go back', exact: true }))
    await page.keyboard.press('Enter')
    await poll(() => garden.session().messages.length).toBe(2)
    await poll(() => page.getByLabel('Message to the agent').inputValue()).toBe('hello second')
  })

  test('is not offered where no checkpoint is kept', async () => {
    const { page, garden } = await withTalk()
    garden.side.checkpoints = []
    await page.reload()
    await page.getByText('You said: hello second').waitFor()
    await page.getByRole('button', { name: 'More for this message' }).last().click()
    const item = page.getByRole('menuitem', { name: /Restore to here/ })
    expect(await item.getAttribute('aria-disabled')).toBe('true')
    expect(await item.textContent()).toContain('no checkpoint is kept')
  })
})

describe('a fork', () => {
  test('from a message opens with what was said before it, and says where it is from', async () => {
    const { page, world } = await withTalk()
    await page.getByRole('button', { name: 'More for this message' }).last().click()
    await page.getByRole('menuitem', { name: 'Fork from here…' }).click()
    await page.getByLabel('Name', { exact: true }).fill('Another try')
    await page.getByLabel('Name', { exact: true }).press('Enter')
    await poll(() => page.title()).toBe('Another try · Toft')
    await page.getByText('You said: hello first').waitFor()
    await page.getByText(/^Forked from Garden planner/).waitFor()
    await poll(() => page.getByText('You said: hello second').count()).toBe(0)
    // A draft belongs to one project, although both know the conversation by one id.
    await page.getByLabel('Message to the agent').fill('only here')
    await command(page, 'garden', 'Garden planner')
    await poll(() => page.title()).toBe('Garden planner · Toft')
    expect(await page.getByLabel('Message to the agent').inputValue()).toBe('')
    expect(project(world, 'Another try').session().messages).toHaveLength(2)
  })

  test('into several at once lists them, and refuses what is no number of copies', async () => {
    const { page, world } = await withTalk()
    await command(page, 'fork', 'Fork Garden planner')
    await page.getByLabel('How many').fill('21')
    await dialog(page).getByText('1 to 20').waitFor()
    await poll(() => dialog(page).getByRole('button', { name: 'Fork' }).isDisabled()).toBe(true)
    await page.getByLabel('How many').fill('3')
    await page.getByLabel('How many').press('Enter')
    await dialog(page).getByText('3 projects made').waitFor()
    expect([...world.projects.values()].filter((each) => /copy/.test(each.name))).toHaveLength(3)
    await dialog(page).getByRole('button', { name: 'Garden planner copy 2' }).click()
    await poll(() => page.title()).toBe('Garden planner copy 2 · Toft')
  })
})
