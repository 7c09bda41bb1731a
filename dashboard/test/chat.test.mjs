import { describe, expect, test } from 'vitest'
import {
  chosen,
  end,
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
/** What `flood` says, and what of it is to be read. */
const WORDS = Array.from({ length: 400 }, (_, i) => `word${i}`)
const words = async (page) => (await transcript(page)).join(' ').match(/word\d+/g)

describe('a chat', () => {
  test('shows text, tools and a receipt as they come, and the same after a reload', async () => {
    const { page } = await start()
    await openProject(page)
    await prompt(page, 'Build a small task app')
    await end(page)
    // Markdown comes later than its text, once.
    await page.locator('[role=log] strong').last().waitFor()
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
    const { page, world } = await start({ server: { pace: 0.5 } })
    const garden = project(world)
    await openProject(page)
    garden.pausesAt = /^word40\b/
    await prompt(page, 'flood')
    await page.getByText('word40').waitFor()
    // It goes on meanwhile, and is still at it when the page is there again.
    garden.pausesAt = /^word300\b/
    await page.reload()
    await page.getByText('word300').waitFor()
    garden.pausesAt = null
    await end(page)
    await poll(() => words(page)).toEqual(WORDS)
  })

  test('goes on where it was when the server was away', async () => {
    const { page, world } = await start({ server: { pace: 0.5 } })
    const garden = project(world)
    await openProject(page)
    garden.pausesAt = /^word40\b/
    await prompt(page, 'flood')
    await page.getByText('word40').waitFor()
    world.cut()
    garden.pausesAt = /^word300\b/
    await page.getByText('Not connected').first().waitFor()
    world.down = false
    await page.getByText('word300').waitFor()
    garden.pausesAt = null
    await end(page)
    await poll(() => page.getByText('Not connected').count()).toBe(0)
    await poll(() => words(page)).toEqual(WORDS)
  })

  test('replaces a message that is asked again', async () => {
    const { page } = await start()
    await openProject(page)
    await prompt(page, 'restart')
    await page.getByText('is asked for again').waitFor()
    await end(page)
    const rows = async () => (await transcript(page)).join('\n')
    await poll(rows).toContain('This is the whole answer.')
    expect(await rows()).not.toContain('This half')
  })

  test('queues while the agent works; what waits can be changed, dropped and used to steer', async () => {
    const { page, world } = await start()
    await openProject(page)
    const session = () => project(world).session()
    const lines = page.getByRole('region', { name: 'Waiting' }).getByRole('listitem')
    const line = (text) => lines.filter({ hasText: text })
    /** What a line does is done to the list that the page shows. */
    const waits = async (...texts) => {
      await poll(() => session().followUp).toEqual(texts)
      await poll(() => lines.allTextContents()).toEqual(texts.map((text) => `Then${text}`))
    }
    project(world).pausesAt = /^step 2 of/
    await prompt(page, 'a long run')
    await page.getByText('This takes a while').waitFor()
    for (const text of ['one', 'two', 'three']) {
      await prompt(page, text)
      await line(text).waitFor()
    }
    await line('two').getByLabel('Drop').click()
    await waits('one', 'three')
    await line('three').getByLabel('Earlier').click()
    await waits('three', 'one')
    await line('one').getByLabel('Change').click()
    await page.getByLabel('Waiting message').fill('one more')
    await page.getByLabel('Waiting message').press('Enter')
    await waits('three', 'one more')
    await line('three').getByLabel('Steer with it').click()
    await poll(() => session().steering).toEqual(['three'])
    await poll(() => lines.allTextContents()).toEqual(['Nextthree', 'Thenone more'])
  })

  test('stops, and what waited stands in the composer again', async () => {
    const { page, world } = await start()
    await openProject(page)
    project(world).pausesAt = /^step 2 of/
    await prompt(page, 'a long run')
    await page.getByText('This takes a while').waitFor()
    await prompt(page, 'and then this')
    await page.getByRole('listitem').filter({ hasText: 'and then this' }).waitFor()
    await page.getByRole('button', { name: 'Stop', exact: true }).click()
    await page.getByText(/^Stopped · /).waitFor()
    await poll(() => page.getByLabel('Message to the agent').inputValue()).toBe('and then this')
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
    await poll(() => page.getByRole('button', { name: /Needs you$/ }).count()).toBe(0)
  })

  test("shows a failed model call in the provider's words, with ways on", async () => {
    const { page, world } = await start()
    await openProject(page)
    project(world).pausesAt = /^529/
    await prompt(page, 'the key is refused')
    await page.getByText(/Trying again, 1 of 3/).waitFor()
    project(world).pausesAt = null
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
    await poll(() => page.getByRole('button', { name: 'Try again' }).count()).toBe(0)
    project(world).pausesAt = /^word10\b/
    await prompt(page, 'flood')
    await page.getByText('word10').waitFor()
    await page.getByRole('button', { name: 'Stop', exact: true }).click()
    await page.getByRole('button', { name: 'Go on', exact: true }).click()
    await poll(() => page.getByText('This time it went well').count()).toBe(2)
    await poll(() => project(world).session().messages.at(-1).message.stopReason).toBe('stop')
  })

  test('keeps a question readable while the machine is stopped, and open for later', async () => {
    const { page, world } = await start()
    await openProject(page)
    await prompt(page, 'ask me')
    await page.getByText('A JSON file').click()
    project(world).state = 'stopped'
    await untilSeen(page, page.getByText('It can be answered when the machine runs'))
    await poll(() => page.getByRole('button', { name: 'Answer' }).isDisabled()).toBe(true)
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
    await poll(() => page.getByText('Demo, scripted').count()).toBe(2)
  })

  test('changes model and thinking level for the conversation', async () => {
    const { page, world } = await start()
    await openProject(page)
    await page.getByRole('button', { name: /Claude Sonnet/ }).click()
    await page.getByPlaceholder('Find a model').fill('haiku')
    await chosen(page).filter({ hasText: 'Claude Haiku' }).waitFor()
    await page.getByPlaceholder('Find a model').press('Enter')
    await page.getByRole('button', { name: /Claude Haiku/ }).waitFor()
    await page.getByRole('button', { name: 'Thinking: Medium' }).click()
    await page.getByRole('menuitem', { name: 'High', exact: true }).click()
    await page.getByRole('button', { name: 'Thinking: High' }).waitFor()
    const session = project(world).session()
    await poll(() => [session.model.id, session.thinkingLevel]).toEqual([
      'claude-haiku-4-5',
      'high',
    ])
  })

  test('that the machine has lost can be read, and begins anew instead of being written to', async () => {
    const { page, world } = await start()
    await openProject(page)
    await prompt(page, 'Build a small task app')
    await end(page)
    await page.locator('[role=log] strong').last().waitFor()
    const live = await transcript(page)
    project(world).session().lost = true
    await page.reload()
    await page.getByText('this is the server’s copy').waitFor()
    await poll(() => transcript(page)).toEqual(live)
    await poll(() => page.getByRole('textbox').count()).toBe(0)
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
    // As long as the page grows above them, a reader who goes up has to go on.
    const first = page.getByText('Step 0: look at module 0')
    await poll(async () => {
      await log.evaluate((element) => element.scrollTo(0, 0))
      return first.count()
    }).toBe(1)
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
    project(world).pausesAt = /^word20\b/
    await prompt(page, 'flood')
    await page.getByText('word20').waitFor()
    // Which rows does the page touch while some hundred pieces come?
    await page.evaluate(() => {
      globalThis.touched = new Set()
      new MutationObserver((records) => {
        for (const { target, type } of records) {
          const row = (target instanceof Element ? target : target.parentElement)?.closest(
            '[data-index]',
          )
          // Moving a row is cheap; its content must not change.
          if (row && type !== 'attributes') globalThis.touched.add(row.dataset.index)
        }
      }).observe(document.querySelector('[role=log][data-session]'), {
        subtree: true,
        childList: true,
        characterData: true,
      })
    })
    project(world).pausesAt = /^word200\b/
    await page.getByText('word200').waitFor()
    expect(await page.evaluate(() => globalThis.touched.size)).toBe(1)
  })

  test('stays where the reader is, and returns when asked', async () => {
    const { page, world } = await start({ server: { pace: 0.5 } })
    world.big(project(world), 50)
    await openProject(page)
    await page.getByText('Module 49 is tidy.').waitFor()
    project(world).pausesAt = /^word20\b/
    await prompt(page, 'flood')
    await page.getByText('word20').waitFor()
    const log = page.locator('[role=log][data-session]')
    await log.hover()
    await page.mouse.wheel(0, -900)
    await page.getByRole('button', { name: 'To the end' }).waitFor()
    /** Where it stands once it stands. */
    const place = () =>
      log.evaluate(async (element) => {
        for (let still = 0, before = null; still < 5; before = element.scrollTop) {
          // One frame after the other.
          // oxlint-disable-next-line no-await-in-loop
          await new Promise(requestAnimationFrame)
          still = element.scrollTop === before ? still + 1 : 0
        }
        return element.scrollTop
      })
    const before = await place()
    project(world).pausesAt = null
    // The receipt has come below.
    await page.getByRole('button', { name: /^\d+ new$/ }).waitFor()
    expect(await place()).toBe(before)
    await page.getByRole('button', { name: /^\d+ new$/ }).click()
    await page.getByText('word399').waitFor()
  })
})
