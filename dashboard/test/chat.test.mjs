import { describe, expect, test } from 'vitest'
import {
  harness,
  openProject,
  poll,
  project,
  prompt,
  transcript,
  untilGone,
  untilSeen,
} from './harness.mjs'

const start = harness()
/** The receipt of the last prompt. */
const end = (page) =>
  page
    .getByText(/US\$ 0\.\d+ · [\d.]+ m?s$/)
    .last()
    .waitFor()

describe('a chat', () => {
  test('shows text, tools and a receipt as they come, and the same after a reload', async () => {
    const { page } = await start()
    await openProject(page)
    await prompt(page, 'Build a small task app')
    await end(page)
    const live = await transcript(page)
    expect(live[0]).toBe('You: Build a small task app')
    expect(live.filter((row) => row.startsWith('Wrote'))).toHaveLength(2)
    expect(live.at(-1)).toContain('Changed 2 files · ran 6 tools · US$ 0.038')
    await page.reload()
    await page.getByText('Open it from').waitFor()
    // Times and the receipt are those that were measured, not sums.
    await poll(() => transcript(page)).toEqual(live)
  })

  test('loses nothing and shows nothing twice when the page is reloaded in mid-sentence', async () => {
    const { page } = await start({ server: { pace: 0.5 } })
    await openProject(page)
    await prompt(page, 'flood')
    await page.getByText('word40').waitFor()
    await page.reload()
    await page.getByText('word41').waitFor()
    await end(page)
    const words = (await transcript(page)).join(' ').match(/word\d+/g)
    expect(words).toEqual(Array.from({ length: 400 }, (_, i) => `word${i}`))
  })

  test('goes on where it was when the server was away', async () => {
    const { page, world } = await start({ server: { pace: 0.5 } })
    await openProject(page)
    await prompt(page, 'flood')
    await page.getByText('word40').waitFor()
    world.cut()
    await page.getByText('Not connected').first().waitFor()
    world.down = false
    await end(page)
    await poll(() => page.getByText('Not connected').count()).toBe(0)
    const words = (await transcript(page)).join(' ').match(/word\d+/g)
    expect(words).toEqual(Array.from({ length: 400 }, (_, i) => `word${i}`))
  })

  test('replaces a message that is asked again', async () => {
    const { page } = await start()
    await openProject(page)
    await prompt(page, 'restart')
    await page.getByText('is asked for again').waitFor()
    await end(page)
    const rows = (await transcript(page)).join('\n')
    expect(rows).toContain('This is the whole answer.')
    expect(rows).not.toContain('This half')
  })

  test('queues while the agent works; what waits can be changed, dropped and used to steer', async () => {
    // Slow work: it must go on until the last step, on a busy machine too.
    const { page, world } = await start({ server: { pace: 4 } })
    await openProject(page)
    const session = () => project(world).session()
    await prompt(page, 'a long run')
    await page.getByText('This takes a while').waitFor()
    for (const text of ['one', 'two', 'three']) {
      await prompt(page, text)
      await page.getByRole('listitem').filter({ hasText: text }).waitFor()
    }
    await page.getByRole('listitem').filter({ hasText: 'two' }).getByLabel('Drop').click()
    await poll(() => session().followUp).toEqual(['one', 'three'])
    await page.getByRole('listitem').filter({ hasText: 'three' }).getByLabel('Earlier').click()
    await poll(() => session().followUp).toEqual(['three', 'one'])
    await page.getByRole('listitem').filter({ hasText: 'one' }).getByLabel('Change').click()
    await page.getByLabel('Waiting message').fill('one more')
    await page.getByLabel('Waiting message').press('Enter')
    await poll(() => session().followUp).toEqual(['three', 'one more'])
    await page
      .getByRole('listitem')
      .filter({ hasText: 'three' })
      .getByLabel('Steer with it')
      .click()
    await poll(() => session().steering).toEqual(['three'])
  })

  test('stops, and what waited stands in the composer again', async () => {
    const { page } = await start({ server: { pace: 4 } })
    await openProject(page)
    await prompt(page, 'a long run')
    await page.getByText('This takes a while').waitFor()
    await prompt(page, 'and then this')
    await page.getByRole('listitem').filter({ hasText: 'and then this' }).waitFor()
    await page.getByRole('button', { name: 'Stop', exact: true }).click()
    await page.getByText(/^Stopped · /).waitFor()
    expect(await page.getByLabel('Message to the agent').inputValue()).toBe('and then this')
  })

  test('asks, and goes on with the answer', async () => {
    const { page } = await start()
    await openProject(page)
    await prompt(page, 'ask me')
    await page.getByRole('button', { name: /Needs you$/ }).waitFor()
    await poll(() => page.title()).toMatch(/^\(1\) /)
    await page.getByText('A JSON file').click()
    await page.getByRole('button', { name: 'Answer' }).click()
    await page.getByText('I will do it that way').waitFor()
    expect(await page.getByRole('button', { name: /Needs you$/ }).count()).toBe(0)
  })

  test("shows a failed model call in the provider's words, with ways on", async () => {
    const { page } = await start()
    await openProject(page)
    await prompt(page, 'the key is refused')
    await page.getByText(/Trying again, 1 of 3/).waitFor()
    const alert = page
      .getByRole('alert')
      .filter({ hasText: '401 authentication_error: invalid x-api-key' })
    await alert.waitFor()
    await alert.getByRole('button', { name: 'Settings' }).click()
    await page.waitForURL(/\/settings#providers/)
  })

  test('asks a failed or stopped model call again, without a message of its own', async () => {
    const { page, world } = await start()
    await openProject(page)
    await prompt(page, 'the key is refused')
    await page.getByRole('button', { name: 'Try again' }).click()
    await page.getByText('This time it went well').waitFor()
    await end(page)
    expect((await transcript(page)).filter((row) => row.startsWith('You: '))).toHaveLength(1)
    expect(await page.getByRole('button', { name: 'Try again' }).count()).toBe(0)
    await prompt(page, 'flood')
    await page.getByText('word10').waitFor()
    await page.getByRole('button', { name: 'Stop', exact: true }).click()
    await page.getByRole('button', { name: 'Go on', exact: true }).click()
    await poll(() => page.getByText('This time it went well').count()).toBe(2)
    expect(project(world).session().messages.at(-1).message.stopReason).toBe('stop')
  })

  test('keeps a question readable while the machine is stopped, and open for later', async () => {
    const { page, world } = await start()
    await openProject(page)
    await prompt(page, 'ask me')
    await page.getByText('A JSON file').click()
    project(world).state = 'stopped'
    await untilSeen(page, page.getByText('It can be answered when the machine runs'))
    expect(await page.getByRole('button', { name: 'Answer' }).isDisabled()).toBe(true)
    project(world).state = 'running'
    await untilGone(page, page.getByText('It can be answered when the machine runs'))
    await page.getByRole('button', { name: 'Answer' }).click()
    await page.getByText('I will do it that way').waitFor()
  })

  test('is labelled wherever the scripted model speaks', async () => {
    const { page } = await start({ server: { keys: [] } })
    await page.getByText('No model key is set').waitFor()
    await openProject(page)
    await prompt(page, 'hello')
    await page.getByText('I am the test agent').waitFor()
    await page.getByText(/Demo, no cost/).waitFor()
    // At the answer and at the composer.
    expect(await page.getByText('Demo, scripted').count()).toBe(2)
  })

  test('changes model and thinking level for the conversation', async () => {
    const { page, world } = await start()
    await openProject(page)
    await page.getByRole('button', { name: /Claude Sonnet/ }).click()
    await page.getByPlaceholder('Find a model').fill('haiku')
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: /Claude Haiku/ }).waitFor()
    await page.getByRole('button', { name: 'Thinking: Medium' }).click()
    await page.getByRole('menuitem', { name: 'High', exact: true }).click()
    await page.getByRole('button', { name: 'Thinking: High' }).waitFor()
    const session = project(world).session()
    expect([session.model.id, session.thinkingLevel]).toEqual(['claude-haiku-4-5', 'high'])
  })

  test('that the machine has lost can be read, and begins anew instead of being written to', async () => {
    const { page, world } = await start()
    await openProject(page)
    await prompt(page, 'Build a small task app')
    await end(page)
    const live = await transcript(page)
    project(world).session().lost = true
    await page.reload()
    await page.getByText('this is the server’s copy').waitFor()
    await poll(() => transcript(page)).toEqual(live)
    expect(await page.getByRole('textbox').count()).toBe(0)
    const strip = page.getByRole('status').filter({ hasText: 'this is the server’s copy' })
    await strip.getByRole('button', { name: 'New session' }).click()
    await untilGone(page, page.getByText('this is the server’s copy'))
    await page.getByRole('textbox').first().waitFor()
  })
})

describe('a long conversation', () => {
  /** Rows on a 900 px screen, some above and below, and what is in them. */
  const NODES_MAX = 1500

  test('opens at its end with a bounded page, and scrolls to its beginning', async () => {
    const { page, world } = await start()
    const id = world.big(project(world), 700)
    expect(project(world).events.length).toBeGreaterThan(2800)
    await openProject(page)
    await page.getByText('Module 699 is tidy.').waitFor()
    const log = page.locator(`[role=log][data-session="${id}"]`)
    expect(await log.locator('*').count()).toBeLessThan(NODES_MAX)
    await log.evaluate((element) => element.scrollTo(0, 0))
    await page.getByText('Step 0: look at module 0').waitFor()
    expect(await log.locator('*').count()).toBeLessThan(NODES_MAX)
    await page.getByRole('button', { name: 'To the end' }).click()
    await page.getByText('Module 699 is tidy.').waitFor()
  })

  test('draws only the growing row while a message streams', async () => {
    const { page, world } = await start({ server: { pace: 0.5 } })
    world.big(project(world), 200)
    await openProject(page)
    await page.getByText('Module 199 is tidy.').waitFor()
    // Markdown comes later than its text, once.
    await page.locator('[role=log] strong').last().waitFor()
    await prompt(page, 'flood')
    await page.getByText('word10').waitFor()
    // Which rows does the page touch while some hundred pieces come?
    const touched = await page.evaluate(
      () =>
        new Promise((resolve) => {
          const log = document.querySelector('[role=log][data-session]')
          const rows = new Set()
          const observer = new MutationObserver((records) => {
            for (const { target, type } of records) {
              const row = (target instanceof Element ? target : target.parentElement)?.closest(
                '[data-index]',
              )
              // Moving a row is cheap; its content must not change.
              if (row && type !== 'attributes') rows.add(row.dataset.index)
            }
            if (log.textContent.includes('word200')) {
              observer.disconnect()
              resolve([...rows])
            }
          })
          observer.observe(log, { subtree: true, childList: true, characterData: true })
        }),
    )
    expect(touched).toHaveLength(1)
  })

  test('stays where the reader is, and returns when asked', async () => {
    const { page, world } = await start({ server: { pace: 0.5 } })
    world.big(project(world), 50)
    await openProject(page)
    await page.getByText('Module 49 is tidy.').waitFor()
    await prompt(page, 'flood')
    await page.getByText('word20').waitFor()
    const log = page.locator('[role=log][data-session]')
    await log.hover()
    await page.mouse.wheel(0, -900)
    await page.getByRole('button', { name: /To the end|new/ }).waitFor()
    const before = await log.evaluate((element) => element.scrollTop)
    await poll(() => project(world).session().status).toBe('idle')
    expect(await log.evaluate((element) => element.scrollTop)).toBe(before)
    await page.getByRole('button', { name: /To the end|new/ }).click()
    await page.getByText('word399').waitFor()
  })
})
