import { describe, expect, test } from 'vitest'
import { end, harness, openProject, poll, project, prompt, transcript } from './harness.mjs'

const start = harness()

describe('a message', () => {
  test('keeps a text until it was taken', async () => {
    const { page, world } = await start()
    await openProject(page)
    world.cut()
    await prompt(page, 'hello')
    await page.getByText('Your text is kept').waitFor()
    expect(await page.getByLabel('Message to the agent').inputValue()).toBe('hello')
    world.down = false
    await page.reload()
    await poll(() => page.getByLabel('Message to the agent').inputValue()).toBe('hello')
    await page.getByRole('button', { name: 'Send' }).click()
    await poll(() => page.getByLabel('Message to the agent').inputValue()).toBe('')
    await end(page)
  })

  test('says once what is sent again because nobody knew whether it arrived', async () => {
    for (const silent of ['after', 'before']) {
      const { page, world } = await start()
      await openProject(page)
      project(world).silent = silent
      await prompt(page, 'hello')
      const alert = page.getByRole('alert').filter({ hasText: 'not known whether your message' })
      await alert.waitFor()
      expect(await page.getByLabel('Message to the agent').inputValue()).toBe('hello')
      await alert.getByRole('button', { name: 'Send again' }).click()
      await poll(() => project(world).keys.length).toBe(2)
      // Nor is its name lost with the page.
      await page.reload()
      await poll(() => page.getByLabel('Message to the agent').inputValue()).toBe('hello')
      project(world).silent = null
      await page.getByRole('button', { name: 'Send' }).click()
      await poll(() => page.getByLabel('Message to the agent').inputValue()).toBe('')
      await end(page)
      const { keys } = project(world)
      expect([keys.length, new Set(keys).size]).toEqual([3, 1])
      const said = async () => (await transcript(page)).filter((row) => row === 'You: hello')
      await poll(said).toHaveLength(1)
      // The same words again are another message.
      await prompt(page, 'hello')
      await poll(said).toHaveLength(2)
      expect(new Set(keys).size).toBe(2)
    }
  })
})

describe('an answer', () => {
  test('never shows the marks of Markdown in place of what they mean', async () => {
    const { page } = await start()
    await openProject(page)
    await prompt(page, 'Build a small task app')
    await end(page)
    // Whatever is drawn from the first moment on, however slowly its parts come.
    await page.route(/assets\/.*\.js/, async (route) => {
      await new Promise((done) => setTimeout(done, 200 * Math.random()))
      await route.continue()
    })
    await page.addInitScript(() => {
      globalThis.raw = []
      const look = () => {
        for (const row of document.querySelectorAll('[role=log] [role=article]')) {
          if (/\*\*Services|`server/.test(row.textContent)) globalThis.raw.push(row.textContent)
        }
        requestAnimationFrame(look)
      }
      look()
    })
    await page.reload()
    await page.locator('[role=log] strong').first().waitFor()
    await poll(() => page.evaluate(() => globalThis.raw)).toEqual([])
  })
})
