import { describe, expect, test } from 'vitest'
import {
  end,
  harness,
  openProject,
  poll,
  project,
  prompt,
  transcript,
  untilSeen,
  violations,
} from './harness.mjs'

const start = harness()
const session = (world) => project(world).session()
const row = (page, name) => page.locator('[role=article]').getByRole('button', { name }).first()

describe('the steps', () => {
  test('stand in a line above the composer, open to all, and survive a reload', async () => {
    const { page } = await start()
    await openProject(page)
    await prompt(page, 'half of the steps')
    const steps = page.getByRole('region', { name: 'Steps', exact: true })
    await steps.getByText('2 of 4 done').waitFor()
    await page.getByText('the tests need a decision').waitFor()
    await poll(() => steps.innerText()).toContain('Write tests for the module')
    expect(await steps.getByText('Run the tests').count()).toBe(0)
    await steps.getByRole('button', { name: /done$/ }).press('Enter')
    await poll(() => steps.getByRole('listitem').allInnerTexts()).toEqual([
      'Read how tasks are kept now\nDone',
      'Move the queries into a module of their own\nDone',
      'Write tests for the module\nNow',
      'Run the tests\nTo do',
    ])
    expect(await violations(page)).toEqual([])
    await page.reload()
    await steps.getByText('2 of 4 done').waitFor()
    // It stays open as it was left.
    await poll(() => steps.getByRole('listitem').count()).toBe(4)
    await steps.getByLabel('Hide the steps').click()
    await poll(() => steps.count()).toBe(0)
  })

  test('go with the work when all are done; patches, pages and programs have rows of their own', async () => {
    const { page } = await start()
    await openProject(page)
    await prompt(page, 'all the steps')
    await page.getByText('All four steps are done').waitFor()
    await end(page)
    await poll(() => page.getByRole('region', { name: 'Steps', exact: true }).count()).toBe(0)
    const rows = await transcript(page)
    const find = (begin) => rows.find((text) => text.startsWith(begin))
    expect(find('Patched')).toMatch(/^Patched2 files\+6 −2/)
    expect(find('Fetched')).toContain('47 KiB')
    expect(find('Read the output of')).toContain('still runs')
    expect(rows.findLast((text) => text.startsWith('Steps'))).toContain('4 of 4 done')
    await row(page, /Patched/).click()
    for (const text of ['server.mjs', 'tasks.mjs', "import { allTasks } from './tasks.mjs'"])
      await page.locator('[role=article]').getByText(text, { exact: true }).waitFor()
    expect(await page.getByText('--- server.mjs').count()).toBe(0)
  })
})

describe('a plan', () => {
  const card = (page) => page.getByRole('region', { name: /^Plan/ })
  async function planned(options) {
    const started = await start(options)
    const { page, world } = started
    await openProject(page)
    await page.getByRole('button', { name: 'Mode: Build' }).click()
    await page.getByRole('menuitem', { name: /^Plan/ }).click()
    await page.getByRole('button', { name: 'Mode: Plan' }).waitFor()
    await poll(() => session(world).mode).toBe('plan')
    await prompt(page, 'Make a plan for the database')
    await card(page).getByRole('button', { name: 'Approve and build' }).waitFor()
    await poll(() => session(world).status).toBe('idle')
    await poll(() => card(page).getByRole('button', { name: 'Edit' }).isEnabled()).toBe(true)
    return started
  }

  test('is read as a plan, not as JSON, and the same after a reload', async () => {
    const { page } = await planned()
    const shown = await card(page).innerText()
    expect(shown).toContain('Needs you')
    expect(shown).toContain('Done when every task of the file is in the database')
    await page.getByText('This is how I would do it.').waitFor()
    expect(await page.getByText('"acceptanceCriteria"').count()).toBe(0)
    expect(await violations(page)).toEqual([])
    await page.reload()
    await card(page).waitFor()
    await poll(() => card(page).innerText()).toBe(shown)
    await page.getByText('This is how I would do it.').waitFor()
    expect(await page.getByText('"acceptanceCriteria"').count()).toBe(0)
  })

  test('is approved, and its steps are worked through', async () => {
    const { page, world } = await planned()
    await card(page).getByRole('button', { name: 'Approve and build' }).click()
    await page.getByText('The plan is carried out').waitFor()
    await card(page).getByText('Approved').waitFor()
    // The project's own check: one line, and what it printed below it.
    await row(page, /The project's check `npm test` was run after your work/).click()
    await page.getByText('1 failed: keeps tasks').waitFor()
    await page.getByRole('button', { name: 'Mode: Build' }).waitFor()
    await poll(() => card(page).getByRole('button').count()).toBe(0)
    expect(session(world).todos.map(({ content }) => content)).toHaveLength(3)
  })

  test('is changed in place; what was typed outlives a reload; and approved as changed', async () => {
    const { page, world } = await planned()
    await card(page).getByRole('button', { name: 'Edit' }).click()
    await page.getByLabel('Step 1', { exact: true }).fill('Write the module with tests')
    await page.getByLabel('Step 2 is done when').fill('all are there\n\nnone is there twice')
    await page.getByLabel('Drop step 3').click()
    await page.reload()
    await poll(() => page.getByLabel('Step 1', { exact: true }).inputValue()).toBe(
      'Write the module with tests',
    )
    await page.getByRole('button', { name: 'Add a step' }).click()
    const approve = card(page).getByRole('button', { name: 'Approve as changed' })
    await page.getByText('Each step needs a title').waitFor()
    await poll(() => approve.isDisabled()).toBe(true)
    await page.getByLabel('Step 3', { exact: true }).fill('Say what was done')
    await page.getByLabel('Step 3 earlier').click()
    await approve.click()
    await page.getByText('The plan is carried out').waitFor()
    const { plan } = session(world)
    expect(plan.source).toBe('edited')
    expect(plan.todos.map(({ title }) => title)).toEqual([
      'Write the module with tests',
      'Say what was done',
      'Bring over the tasks of tasks.json',
    ])
    expect(plan.todos[2].acceptanceCriteria).toEqual(['all are there', 'none is there twice'])
    await card(page).getByText('changed by you').waitFor()
  })

  test('fits a phone, also while it is changed', async () => {
    const { page } = await planned({ width: 390, height: 844 })
    const fits = () =>
      page.evaluate(() => {
        const log = document.querySelector('[role=log]')
        return log.scrollWidth <= log.clientWidth && document.body.scrollWidth <= 390
      })
    await poll(fits).toBe(true)
    await card(page).getByRole('button', { name: 'Edit' }).click()
    await page.getByLabel('Step 3', { exact: true }).waitFor()
    await poll(fits).toBe(true)
    expect(await violations(page)).toEqual([])
  })

  test('is rejected with words, and the agent goes on with them', async () => {
    const { page, world } = await planned()
    await card(page).getByRole('button', { name: 'Reject…' }).click()
    await page.getByLabel('What should be different').fill('Use PostgreSQL, please')
    await page.getByLabel('What should be different').press('Enter')
    await card(page).getByText('Rejected').waitFor()
    await page.getByText('You said: Use PostgreSQL, please').waitFor()
    expect(session(world).mode).toBe('plan')
    await poll(() => session(world).status).toBe('idle')
    await card(page).getByRole('button', { name: 'Approve it after all' }).click()
    await page.getByText('The plan is carried out').waitFor()
  })

  test('that was decided on elsewhere says so, and can be read while the machine is stopped', async () => {
    const { page, world } = await planned()
    session(world).planState = 'approved'
    await card(page).getByRole('button', { name: 'Approve and build' }).click()
    await page.getByRole('alert').filter({ hasText: 'no such plan waits' }).waitFor()
    project(world).state = 'stopped'
    await untilSeen(page, page.getByText('It can be decided on when the machine runs'))
    const approve = card(page).getByRole('button', { name: 'Approve and build' })
    await poll(() => approve.isDisabled()).toBe(true)
  })
})

describe('a task', () => {
  test("opens in place to the helper's conversation, which is no session of its own", async () => {
    const { page } = await start()
    await openProject(page)
    await prompt(page, 'let a helper count')
    await row(page, /Delegat/).click()
    const inside = page.getByRole('log', { name: 'Conversation of the task' })
    await inside.getByText('You: Count the tests. Answer').waitFor()
    await page.getByText('The helper counted twelve tests').waitFor()
    await inside.getByText('there are twelve').waitFor()
    // Nothing of it is gone back to.
    await inside.getByText('Answer in one sentence').hover()
    await inside.getByLabel('More for this message').click()
    await poll(() => page.getByRole('menuitem').allInnerTexts()).toEqual(['Copy the text'])
    await page.keyboard.press('Escape')
    await poll(async () =>
      (await transcript(page)).find((text) => text.startsWith('Delegated')),
    ).toContain('1 tool call · US$ 0.019')
    expect(await page.getByRole('navigation', { name: 'Project' }).innerText()).not.toContain(
      'Count the tests',
    )
    await page.reload()
    await row(page, /Delegated/).click()
    await inside.getByText('there are twelve').waitFor()
  })

  test('is found after a reload in its middle, and stopped by itself', async () => {
    const { page, world } = await start()
    await openProject(page)
    project(world).pausesAt = /^grep/
    await prompt(page, 'let a helper count')
    await row(page, /Delegating/).waitFor()
    await page.reload()
    await row(page, /Delegating/).click()
    await page.getByRole('button', { name: 'Stop this task' }).click()
    await page.getByText('The helper counted twelve tests').waitFor()
    await poll(() => page.getByRole('button', { name: 'Stop this task' }).count()).toBe(0)
    // What a person stopped did not fail.
    await row(page, /Delegated Count the tests stopped/).waitFor()
    expect(await page.getByLabel('failed').count()).toBe(0)
  })
})

describe('a question about a call', () => {
  test('of a rule is answered by one of its choices', async () => {
    const { page, world } = await start()
    await openProject(page)
    await prompt(page, 'push it')
    const card = page.getByRole('form', { name: 'Permission' })
    await card.getByText('git push origin main').waitFor()
    await page.getByRole('button', { name: /Needs you$/ }).waitFor()
    expect(await violations(page)).toEqual([])
    await page.reload()
    await card.getByRole('button', { name: 'Always in this conversation' }).click()
    await page.getByText('I am through with the push').waitFor()
    await poll(() => card.count()).toBe(0)
    expect(session(world).question).toBeNull()
  })

  test('is denied, and the call is not shown as a failure', async () => {
    const { page } = await start()
    await openProject(page)
    await prompt(page, 'push it')
    await page.getByRole('button', { name: 'Deny' }).click()
    await page.getByText('I am through with the push').waitFor()
    await poll(async () =>
      (await transcript(page)).find((text) => text.includes('git push')),
    ).toMatch(/^Not allowed/)
    expect(await page.getByLabel('failed').count()).toBe(0)
  })

  test('in doubt, and of a model that goes round in circles', async () => {
    const { page } = await start()
    await openProject(page)
    await prompt(page, 'migrate')
    const doubt = page.getByRole('form', { name: 'Call in doubt' })
    await doubt.getByRole('button', { name: 'Go on without it' }).click()
    await page.getByText('I looked at what is there').waitFor()
    await prompt(page, 'in circles')
    const loop = page.getByRole('form', { name: 'Going round in circles' })
    await loop.waitFor()
    await page.reload()
    await loop.getByLabel('Or say what to do instead').fill('Read the test first')
    await loop.getByLabel('Or say what to do instead').press('Enter')
    await page.getByText('I try another way').waitFor()
    await poll(() => loop.count()).toBe(0)
  })
})
