import { describe, expect, test } from 'vitest'
import {
  chosen,
  command,
  enterIsSafe,
  harness,
  openProject,
  poll,
  project,
  prompt,
  transcript,
  untilFocused,
  untilTold,
} from './harness.mjs'

const start = harness()
const frame = (page) => page.frameLocator('iframe')
const xterm = (page) => page.locator('.xterm-rows').first()

/** Types into the terminal, once keys go there. */
async function shell(page, line) {
  await untilFocused(page.locator('.xterm-helper-textarea').first())
  await page.keyboard.type(`${line}\r`)
}

async function withApp(options) {
  // How the app comes to be is told elsewhere.
  const started = await start({ server: { pace: 0.02 }, ...options })
  await openProject(started.page)
  // The page learns of the app's port by asking.
  const port = started.page.waitForResponse(
    async (answer) =>
      answer.url().endsWith('/toft/state') &&
      /"appPort":3000\b/.test(await answer.text().catch(String)),
  )
  await prompt(started.page, 'Build a small task app')
  await started.page.getByText('Open it from').waitFor()
  await port
  await started.page
    .getByRole('button', { name: /Task app/ })
    .first()
    .click()
  await frame(started.page).getByText('Water the beans').waitFor()
  return started
}

describe('the app panel', () => {
  test('shows the app on an origin of its own, in a sandbox', async () => {
    const { page, mock } = await withApp()
    const iframe = page.locator('iframe')
    expect(new URL(await iframe.getAttribute('src')).origin).not.toBe(mock.url)
    expect(await iframe.getAttribute('sandbox')).toBe(
      'allow-scripts allow-same-origin allow-forms allow-popups',
    )
  })

  test('does not load again when its tab is left, moved or split, and does when the agent says so', async () => {
    const { page, world } = await withApp()
    const loads = () => world.previews
    const before = loads()
    await page.keyboard.press('Alt+l')
    await page.getByRole('log', { name: 'Events' }).waitFor()
    await page.getByRole('tab', { name: 'Task app', exact: true }).click()
    for (const title of ['Split panel down', 'Move panel to the next group', 'Fill the window']) {
      await command(page, title, title)
    }
    await page.keyboard.press('Alt+Enter')
    await frame(page).getByText('Water the beans').waitFor()
    expect(loads()).toBe(before)
    const { emit, current } = project(world)
    emit.call(project(world), 'notify', current, {
      message: 'New version',
      level: 'info',
      refreshIframe: true,
    })
    await poll(loads).toBe(before + 1)
    await untilTold(page, 'New version')
  })

  test('is one per port, however it is opened', async () => {
    const { page } = await withApp()
    await page.keyboard.press('Alt+a')
    await page.keyboard.press('Alt+l')
    await page.getByRole('log', { name: 'Events' }).waitFor()
    await page.keyboard.press('Alt+a')
    await frame(page).getByText('Water the beans').waitFor()
    await poll(() => page.locator('iframe').count()).toBe(1)
  })

  test('goes to another port and path', async () => {
    const { page } = await withApp()
    await page.getByLabel('Port and path').fill(':8081/docs')
    await page.getByLabel('Port and path').press('Enter')
    await frame(page)
      .getByText(/^8081-/)
      .waitFor()
  })

  test('does not wake a sleeping machine by itself', async () => {
    const { page, world } = await withApp()
    await page.keyboard.press('Alt+l')
    await page.locator('[aria-label="Log panel"]').getByText('Processes').click()
    await page.keyboard.press('Alt+f')
    await page.getByRole('button', { name: 'server.mjs', exact: true }).waitFor()
    project(world).state = 'cold'
    await page.reload()
    await page.getByText('The machine sleeps: this is its disk.').waitFor()
    await page.getByRole('button', { name: 'server.mjs', exact: true }).click()
    await page.getByRole('button', { name: 'Delete', exact: true }).waitFor()
    await page.getByRole('tab', { name: 'Log', exact: true }).click()
    await page.locator('[aria-label="Log panel"]').getByText('Processes').click()
    await page.getByText('Nothing runs', { exact: true }).waitFor()
    await page.getByRole('tab', { name: 'Task app', exact: true }).click()
    await page.getByRole('button', { name: 'Wake and open' }).waitFor()
    expect(project(world).state).toBe('cold')
    await page.getByRole('button', { name: 'Wake and open' }).click()
    await frame(page).getByText('Water the beans').waitFor()
  })
})

describe('the palette in a project', () => {
  const type = async (page, text) => {
    await page.getByRole('button', { name: 'Commands' }).click()
    await page.getByPlaceholder('Open, run').fill(text)
  }
  const taken = (page) => chosen(page).allTextContents()

  test('never makes a project of a word that fits nothing, unless it is chosen', async () => {
    const { page, world } = await start()
    await openProject(page)
    const before = world.projects.size
    await type(page, 'zzqqx')
    await page.getByText('Nothing here is called “zzqqx”.').waitFor()
    await poll(() => taken(page)).toEqual([])
    await page.keyboard.press('Enter')
    await page.keyboard.press('Enter')
    expect(world.projects.size).toBe(before)
    await page.keyboard.press('ArrowDown')
    await poll(() => taken(page)).toEqual(['Create project zzqqx'])
    await page.keyboard.press('Enter')
    await poll(() => page.title()).toBe('zzqqx · Toft')
    expect(world.projects.size).toBe(before + 1)
  })

  test('puts what was meant first', async () => {
    const { page } = await start()
    await openProject(page)
    for (const [typed, first] of [
      ['log', /^Open the log/],
      ['set', /^Settings/],
      ['sign out', /^Sign out/],
      ['stop', /^Stop the machine/],
      ['ledger', /^Ledger import/],
    ]) {
      await type(page, typed)
      await poll(() => taken(page)).toEqual([expect.stringMatching(first)])
      await page.keyboard.press('Escape')
      await poll(() => page.getByPlaceholder('Open, run').count()).toBe(0)
    }
    // Nobody goes to where they are.
    await type(page, '')
    await page.getByRole('option', { name: /Ledger import/ }).waitFor()
    expect(await page.getByRole('option', { name: /^Garden planner/ }).count()).toBe(0)
  })
})

describe('a terminal', () => {
  test('takes keys, knows its size, and is attached again after a reload', async () => {
    const { page, world } = await start()
    await openProject(page)
    await page.keyboard.press('Alt+t')
    await xterm(page).getByText('root@garden-planner').waitFor()
    const terminals = () => [...project(world).terminals.values()]
    // Its size is told once it was drawn.
    await poll(() => terminals()[0]?.size).toBeTruthy()
    await shell(page, 'size')
    await poll(() => xterm(page).textContent()).toMatch(/\d{2,3}x\d{2}/)
    // Ctrl+K belongs to the shell here; with Shift+P the palette comes all the same.
    await page.keyboard.press('Control+k')
    expect(await page.getByPlaceholder('Open, run').count()).toBe(0)
    await page.keyboard.press('Control+Shift+P')
    await page.getByPlaceholder('Open, run').waitFor()
    await page.keyboard.press('Escape')
    expect(terminals()).toHaveLength(1)
    await page.reload()
    await poll(() => xterm(page).textContent()).toMatch(/\d{2,3}x\d{2}/)
    expect(terminals()).toHaveLength(1)
  })

  test('says when it has ended and offers another', async () => {
    const { page } = await start()
    await openProject(page)
    await page.keyboard.press('Alt+t')
    await xterm(page).getByText('root@').waitFor()
    await shell(page, 'exit')
    await page.getByText('Ended.').waitFor()
    await page.getByRole('button', { name: 'New terminal' }).last().click()
    await xterm(page).getByText('root@').waitFor()
  })
})

describe('the layout', () => {
  test('is kept, and a broken one gives way to the default', async () => {
    const { page, world } = await withApp()
    await page.reload()
    await frame(page).getByText('Water the beans').waitFor()
    await page.getByText('Open it from').waitFor()
    // Between two pages, so that none keeps its own over it.
    await page.addInitScript(
      (key) => localStorage.setItem(key, '{"v":2,"data":{"grid":7}}'),
      `toft.layout.${project(world).id}.wide`,
    )
    await page.reload()
    await page.getByText('Open it from').waitFor()
    await poll(() => page.locator('iframe').count()).toBe(0)
  })

  test('is kept though the page is left at once', async () => {
    const { page } = await start()
    await openProject(page)
    await page.keyboard.press('Alt+f')
    await page.getByRole('tab', { name: 'Files', exact: true }).waitFor()
    await page.reload()
    await page.getByRole('tab', { name: 'Files', exact: true }).waitFor()
  })

  test('keeps the tab in front in sight, however many there are', async () => {
    const { page } = await start({ width: 420 })
    await openProject(page)
    for (const key of ['Alt+t', 'Alt+f', 'Alt+t', 'Alt+l']) await page.keyboard.press(key)
    await page.getByRole('log', { name: 'Events' }).waitFor()
    const hidden = () =>
      page.getByRole('tab', { name: 'Log', exact: true }).evaluate((tab) => {
        const strip = tab.parentElement.getBoundingClientRect()
        const { left, right } = tab.getBoundingClientRect()
        return Math.max(0, strip.left - left, right - strip.right)
      })
    await poll(hidden).toBeLessThan(1)
  })

  test('can be made and unmade by keyboard alone', async () => {
    const { page } = await start()
    await openProject(page)
    await page.keyboard.press('Alt+f')
    await page.keyboard.press('Alt+l')
    await poll(() => page.getByRole('tab').count()).toBe(3)
    await page.keyboard.press('Alt+w')
    await poll(() => page.getByRole('tab').count()).toBe(2)
    await page.keyboard.press('Alt+\\')
    await poll(() => page.locator('.dv-groupview').count()).toBe(3)
  })
})

describe('two chats', () => {
  test('hold two conversations on one stream', async () => {
    const { page, world } = await start()
    await openProject(page)
    await prompt(page, 'hello first')
    await page.getByText('You said: hello first').waitFor()
    await page.keyboard.press('Alt+c')
    await prompt(page, 'hello second', 1)
    await page.getByText('You said: hello second').waitFor()
    await poll(() => project(world).sessions.size).toBe(2)
    await poll(() => project(world).subscribers.size).toBe(1)
  })
})

describe('files', () => {
  test('are read, shown as documents, and deleted only after asking', async () => {
    const { page, world } = await withApp()
    await page.getByRole('button', { name: 'Read me document' }).click()
    await page.getByRole('heading', { name: 'Tasks' }).waitFor()
    await page.getByRole('button', { name: 'server.mjs', exact: true }).click()
    await page.getByText("import { createServer } from 'node:http'").waitFor()
    await page.getByRole('button', { name: 'Delete' }).click()
    await enterIsSafe(page)
    expect(project(world).files.has('/home/project/server.mjs')).toBe(true)
    await page.getByRole('button', { name: 'Delete' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
    await poll(() => project(world).files.has('/home/project/server.mjs')).toBe(false)
  })
})

describe('the log', () => {
  test('tells events in words and filters them', async () => {
    const { page } = await withApp()
    await page.keyboard.press('Alt+l')
    await page.getByText('The app listens on port 3000').waitFor()
    await page.getByLabel('Filter').fill('agent done')
    await poll(() =>
      page.getByRole('log', { name: 'Events' }).locator('.truncate').allTextContents(),
    ).toEqual([expect.stringMatching(/^The agent is done: 6 tools/)])
  })

  test('shows a process as it runs and stops it', async () => {
    const { page, world } = await withApp()
    await page.keyboard.press('Alt+l')
    await page.locator('[aria-label="Log panel"]').getByText('Processes').click()
    await page.locator('[aria-label="Log panel"] button', { hasText: 'node server.mjs' }).click()
    await page.getByText('GET /api/tasks 200').first().waitFor()
    await page.locator('[aria-label="Log panel"]').getByRole('button', { name: 'Stop' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Stop' }).click()
    await page.getByText('Ended by signal 15', { exact: true }).waitFor()
    expect(project(world).processes[0].exit.signal).toBe(15)
  })
})

describe('stopping a project', () => {
  test('asks first, Enter is safe, and the conversation stays readable', async () => {
    const { page, world } = await withApp()
    const ask = async () => {
      await command(page, 'stop the machine', 'Stop the machine')
      await page.getByText(/All processes of Garden planner end/).waitFor()
    }
    await page.getByLabel('Message to the agent').focus()
    await ask()
    await enterIsSafe(page)
    expect(project(world).state).toBe('running')
    await ask()
    await page.getByRole('dialog').getByRole('button', { name: 'Stop' }).click()
    await page.getByText('You can read; to go on, start it.').waitFor()
    await poll(() => page.getByLabel('Message to the agent').isDisabled()).toBe(true)
    await poll(async () => (await transcript(page)).length).toBeGreaterThan(5)
    await page.getByRole('button', { name: 'Start', exact: true }).first().click()
    await poll(() => page.getByLabel('Message to the agent').isEnabled()).toBe(true)
  })
})
