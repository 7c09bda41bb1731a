import { describe, expect, test } from 'vitest'
import {
  chosen,
  harness,
  openProject,
  poll,
  prompt,
  untilGone,
  untilSeen,
  violations,
} from './harness.mjs'

const start = harness()

describe('home', () => {
  test('makes a project by keyboard alone', async () => {
    const { page, world } = await start({ server: { projects: false } })
    await page.getByText('No projects yet').waitFor()
    await page.keyboard.type('Bean rows')
    await chosen(page).filter({ hasText: 'Create project Bean rows' }).waitFor()
    await page.keyboard.press('Enter')
    await page.getByText('What shall be done?').waitFor()
    await poll(() => page.title()).toBe('Bean rows · Toft')
    expect([...world.projects.values()].map((each) => each.name)).toEqual(['Bean rows'])
  })

  test('finds a project by a few letters and opens it', async () => {
    const { page } = await start()
    await page.getByRole('option', { name: /Garden planner/ }).waitFor()
    await page.keyboard.type('slid')
    await chosen(page).filter({ hasText: 'Notes to slides' }).waitFor()
    await page.keyboard.press('Enter')
    await poll(() => page.title()).toBe('Notes to slides · Toft')
  })

  test('asks for a name where a shortcut wants a new project', async () => {
    const { page } = await start()
    await openProject(page)
    await page.keyboard.press('Alt+n')
    const name = page.getByPlaceholder('Name of the new project')
    await name.fill('Ledger')
    // Nothing that exists may be hit by Enter here.
    await name.press('Enter')
    await poll(() => page.title()).toBe('Ledger · Toft')
  })

  test('switches projects by number', async () => {
    const { page } = await start()
    await openProject(page)
    await page.keyboard.press('Alt+3')
    await poll(() => page.title()).toBe('Ledger import · Toft')
  })

  test('says so when the server is away, and recovers', async () => {
    const { page, world } = await start()
    await page.getByRole('option', { name: /Garden planner/ }).waitFor()
    world.cut()
    const away = page.getByText('This is what was last known')
    await untilSeen(page, away)
    await page.getByRole('option', { name: /Garden planner/ }).waitFor()
    world.down = false
    await untilGone(page, away)
  })
})

describe('signing in', () => {
  test('tells wrong from right and leads on', async () => {
    const { page } = await start({ server: { signedIn: false }, path: '/?signIn=expired' })
    await page.getByText('This sign-in link was used before').waitFor()
    await page.getByLabel('E-mail').fill('admin@example.org')
    await page.getByLabel('Password').fill('wrong')
    await page.getByLabel('Password').press('Enter')
    await page.getByText('E-mail or password is wrong').waitFor()
    await page.getByLabel('Password').fill('correct horse')
    await page.getByLabel('Password').press('Enter')
    await page.getByRole('option', { name: /Garden planner/ }).waitFor()
  })

  test('is asked for again when the session ends', async () => {
    const { page, world } = await start()
    await openProject(page)
    world.signedIn = false
    await page.keyboard.press('Alt+,')
    await page.getByText('Sign in to Toft').waitFor()
  })

  test('ends by command', async () => {
    const { page } = await start()
    await page.getByRole('option', { name: 'Sign out' }).click()
    await page.getByText('Sign in to Toft').waitFor()
  })
})

describe('settings', () => {
  test('keep names, passwords and keys', async () => {
    const { page, world } = await start({ path: '/settings' })
    await page.getByLabel('Name').fill('Hanna')
    await page.getByRole('button', { name: 'Save', exact: true }).click()
    await poll(() => world.user.name).toBe('Hanna')
    await page.getByLabel('Password').fill('long enough')
    await page.getByRole('button', { name: 'Set password' }).click()
    await page.getByLabel('Current password').waitFor()
    await page
      .getByRole('listitem')
      .filter({ hasText: 'OpenAI' })
      .getByRole('button', { name: 'Add key' })
      .click()
    await page.getByLabel('Key of OpenAI').fill('sk-test-k9f2')
    await page.getByLabel('Key of OpenAI').press('Enter')
    const openai = page.getByRole('listitem').filter({ hasText: '…k9f2 set here' })
    await openai.getByRole('button', { name: 'Test' }).click()
    await page.getByText('401 Incorrect API key provided').waitFor()
    await openai.getByRole('button', { name: 'Remove' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click()
    await poll(() => world.keys.has('openai')).toBe(false)
  })

  test('make a key for a program, show it once, and take it back', async () => {
    const { page, world } = await start({ path: '/settings' })
    await page.getByRole('button', { name: 'New key…' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Name').fill('Nightly build')
    await dialog.getByText('Both', { exact: true }).click()
    await dialog.getByLabel('Ends').selectOption('')
    expect(await violations(page)).toEqual([])
    await dialog.getByRole('button', { name: 'Make the key' }).click()
    const row = page.getByRole('listitem').filter({ hasText: 'Nightly build' })
    await row.getByText('models, read · never used').waitFor()
    expect(world.apiKeys[0].expiresAt).toBe(null)
    const key = await page.getByText(/^toft_[0-9a-f]{64}$/).textContent()
    expect(key?.startsWith(world.apiKeys[0].prefix)).toBe(true)
    await page.getByRole('button', { name: 'Done' }).click()
    await poll(() => page.getByText(key ?? '').count()).toBe(0)
    await row.getByRole('button', { name: 'Revoke' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click()
    await page.getByText('No key was made yet.').waitFor()
    await poll(() => world.apiKeys).toEqual([])
  })

  test('choose the default model and the theme', async () => {
    const { page, world } = await start({ path: '/settings' })
    await page.getByLabel('Model', { exact: true }).selectOption('anthropic/claude-haiku-4-5')
    await poll(() => world.settings.defaultModel).toBe('claude-haiku-4-5')
    await page.getByText('Dark', { exact: true }).click()
    // Choosing far down scrolls the page's part, never the page.
    expect(await page.evaluate(() => document.documentElement.scrollHeight - innerHeight)).toBe(0)
    await poll(() =>
      page.evaluate(() => getComputedStyle(document.documentElement).colorScheme),
    ).toBe('dark')
    await page.reload()
    await poll(() => page.evaluate(() => document.documentElement.dataset.theme)).toBe('dark')
  })
})

describe.each(['light', 'dark'])('in %s', (scheme) => {
  test('no page has a fault of accessibility', async () => {
    const { page, mock } = await start({ scheme })
    await page.getByRole('option', { name: /Garden planner/ }).waitFor()
    expect(await violations(page)).toEqual([])
    await openProject(page)
    await prompt(page, 'Write a script that fails, run it, and mend it.')
    await page.getByText('Mended').waitFor()
    await page.getByRole('button', { name: /Ran python3 count.py/ }).click()
    await page.keyboard.press('Alt+f')
    await page.getByText('count.py').last().waitFor()
    await page.keyboard.press('Alt+l')
    await page.getByRole('log', { name: 'Events' }).waitFor()
    expect(await violations(page)).toEqual([])
    await page.keyboard.press('Control+k')
    await page.getByPlaceholder('Open, run').waitFor()
    expect(await violations(page)).toEqual([])
    await page.goto(`${mock.url}/settings`)
    await page.getByText('btrfs loop image').first().waitFor()
    expect(await violations(page)).toEqual([])
  })
})

describe('on a phone', () => {
  const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth)

  test('nothing hangs over the edge and all can be reached', async () => {
    const { page, mock } = await start({ width: 420 })
    await page.getByRole('option', { name: /Garden planner/ }).waitFor()
    await poll(() => overflow(page)).toBe(0)
    await openProject(page)
    await prompt(page, 'Build a small task app')
    await page.getByText('Open it from').waitFor()
    await poll(() => overflow(page)).toBe(0)
    await page.getByRole('button', { name: 'Sidebar' }).click()
    await page
      .getByRole('button', { name: /Task app/ })
      .first()
      .click()
    await page.frameLocator('iframe').getByText('Water the beans').waitFor()
    await poll(() => page.locator('.dv-groupview').count()).toBe(1)
    await page.goto(`${mock.url}/settings`)
    await page.getByText('Groq', { exact: true }).waitFor()
    await poll(() => overflow(page)).toBe(0)
  })
})
