// The panel of the agent's settings, and what its parts show in a conversation.
import { describe, expect, test } from 'vitest'
import {
  harness,
  lookAgain,
  openProject,
  poll,
  project,
  prompt,
  transcript,
  untilSeen,
  violations,
} from './harness.mjs'
import { signedIn, withParts } from './mock/agent-parts.mjs'

const start = harness()
const panel = (page) => page.getByRole('region', { name: 'Agent panel' })
const part = (page, name) => panel(page).getByRole('region', { name, exact: true })

async function opened({ parts = false, ...options } = {}) {
  const started = await start(options)
  const { page, world } = started
  const of = project(world)
  if (parts) withParts(of)
  await openProject(page)
  await page.keyboard.press('Alt+g')
  await part(page, 'Permissions').waitFor()
  return { ...started, of }
}

describe('permissions', () => {
  const rules = (page) => part(page, 'Permissions').getByRole('listitem')

  test('are added, changed, put in order and removed, each in force at once', async () => {
    const { page, of } = await opened()
    /** What is done to a rule is done to the list that the page shows, once it was taken. */
    const kept = async (...wanted) => {
      await poll(() => of.parts.settings.rules).toEqual(wanted)
      const remove = rules(page).getByLabel('Remove the rule')
      await poll(() => remove.count()).toBe(wanted.length)
      await poll(() => remove.last().isEnabled()).toBe(true)
    }
    const pushes = { tool: 'bash', argument: 'git push *', action: 'ask' }
    await poll(() => rules(page).allInnerTexts()).toEqual(['Allow\neverything'])
    await panel(page).getByRole('button', { name: 'Add a rule' }).click()
    await page.getByRole('menuitem', { name: 'Ask before it pushes' }).click()
    await kept(pushes)
    await panel(page).getByRole('button', { name: 'Add a rule' }).click()
    await page.getByRole('menuitem', { name: 'Another rule…' }).click()
    const form = page.getByRole('form', { name: 'Rule' })
    await form.getByText('Deny', { exact: true }).click()
    await form.getByLabel('Tool', { exact: true }).fill('write')
    await form.getByLabel('Path').fill('.env*')
    await form.getByLabel('Reason').fill('Secrets stay out of files.')
    await form.getByText('It may not use write for .env*.').waitFor()
    expect(await violations(page)).toEqual([])
    await form.getByLabel('Reason').press('Enter')
    const denied = {
      tool: 'write',
      argument: '.env*',
      action: 'deny',
      reason: 'Secrets stay out of files.',
    }
    await kept(pushes, denied)
    await rules(page).nth(1).getByLabel('Earlier').click()
    await kept(denied, pushes)
    await rules(page).nth(1).getByLabel('Change the rule').click()
    await page.getByLabel('Command', { exact: true }).first().fill('')
    await page.getByRole('button', { name: 'Save the rule' }).click()
    await kept(denied, { tool: 'bash', action: 'ask' })
    await rules(page).first().getByLabel('Remove the rule').click()
    await kept({ tool: 'bash', action: 'ask' })
    await page.reload()
    await poll(() => rules(page).allInnerTexts()).toEqual(['Ask\nbash', 'Allow\neverything else'])
  })

  test('that never count say so, and one that is not taken says why and is kept in its fields', async () => {
    const { page, of } = await opened()
    of.parts.settings.rules = [
      { tool: '*', action: 'ask' },
      { tool: 'bash', argument: 'rm *', action: 'deny' },
    ]
    await untilSeen(page, panel(page).getByText(/^Never counts: the rule above for/))
    await rules(page).nth(1).getByLabel('Change the rule').click()
    const command = page.getByLabel('Command', { exact: true }).first()
    await command.fill('rm -rf *')
    of.state = 'stopped'
    await page.getByRole('button', { name: 'Save the rule' }).click()
    await page.getByText('The rules were not changed: The machine is stopped.').waitFor()
    expect(await command.inputValue()).toBe('rm -rf *')
    expect(of.parts.settings.rules[1].argument).toBe('rm *')
  })

  test('of a stopped machine are shown and not changed; a sleeping one is not woken to be looked at', async () => {
    const { page, world } = await start()
    const of = project(world, 'Notes to slides')
    of.parts.settings.rules = [{ tool: 'bash', action: 'ask' }]
    await openProject(page, 'Notes to slides')
    await page.keyboard.press('Alt+g')
    await poll(() => rules(page).count()).toBe(2)
    await panel(page).getByText('The machine sleeps: its skills are read from it.').waitFor()
    expect(of.state).toBe('cold')
    of.state = 'stopped'
    await lookAgain(page)
    await panel(page).getByText('The machine is stopped: this held last').waitFor()
    await poll(() => panel(page).getByRole('button', { name: 'Add a rule' }).count()).toBe(0)
    await poll(() => panel(page).getByLabel('Money, US$').isDisabled()).toBe(true)
  })
})

test('limits of a prompt are read as people write them, and the check is set', async () => {
  const { page, of } = await opened()
  const limits = part(page, 'Limits of a prompt')
  await limits.getByLabel('Model calls').fill('900')
  await limits.getByText('A whole number, 1 to 500.').waitFor()
  await poll(() => limits.getByRole('button', { name: 'Set limits' }).isDisabled()).toBe(true)
  await limits.getByLabel('Model calls').fill('40')
  await limits.getByLabel('Time').fill('20 min')
  await limits.getByLabel('Money, US$').fill('1.50')
  await limits.getByLabel('Money, US$').press('Enter')
  await poll(() => of.parts.settings.limits).toEqual({
    steps: 40,
    seconds: 1200,
    money: 1_500_000_000,
  })
  await poll(() => limits.getByLabel('Time').inputValue()).toBe('20 minutes')
  await limits.getByLabel('Time').fill('')
  await limits.getByRole('button', { name: 'Set limits' }).click()
  await poll(() => of.parts.settings.limits).toEqual({ steps: 40, money: 1_500_000_000 })

  const check = part(page, 'Check after a build')
  await check.getByLabel('Command').fill('make lint test')
  await check.getByRole('button', { name: 'Set' }).click()
  await poll(() => of.parts.settings.checkCommand).toBe('make lint test')
  await check.getByRole('switch', { name: 'Run the check' }).click()
  await check.getByText('Does not run').waitFor()
  // It is shown before the server has heard of it.
  await poll(() => of.parts.settings.autoCheck).toBe(false)
})

describe('what the project adds', () => {
  test('skills, servers and extensions are listed with their faults', async () => {
    const { page } = await opened({ parts: true })
    const skills = part(page, 'Skills')
    await skills.getByText('How a version of the planner is released').waitFor()
    await skills.getByText('of the home folder, only when you ask for it').waitFor()
    await skills.getByText('It has no description').waitFor()
    const extensions = part(page, 'Extensions')
    await extensions.getByText('hooks: tool_call · 1 tool · words in the prompt').waitFor()
    await extensions.getByText('extension.json has the unknown field').waitFor()
    const servers = part(page, 'Tools of servers')
    await servers.getByText('notes-mcp: not found').waitFor()
    await servers.getByText('the server "old" has neither').waitFor()
    await servers.getByRole('button', { name: '2 tools' }).click()
    await servers.getByText('How much rain fell.').waitFor()
    expect(await violations(page)).toEqual([])
    await skills.getByLabel('Use release in the chat').click()
    await poll(() => page.getByLabel('Message to the agent').inputValue()).toBe('/skill:release ')
  })

  test('skills are chosen from while their command is typed', async () => {
    const { page } = await opened({ parts: true })
    const composer = page.getByLabel('Message to the agent')
    const list = page.getByRole('listbox', { name: 'Skills' })
    await composer.fill('/')
    await poll(() => list.getByRole('option').count()).toBe(2)
    expect(await violations(page)).toEqual([])
    await composer.press('ArrowDown')
    await composer.press('Enter')
    await poll(() => composer.inputValue()).toBe('/skill:house-style ')
    await poll(() => list.count()).toBe(0)
    await composer.fill('/rel')
    await list.getByText('/skill:release').click()
    await poll(() => composer.inputValue()).toBe('/skill:release ')
    // A message that only looks like a command is sent.
    await composer.fill('/nothing')
    await composer.press('Enter')
    await page.getByText('You said: /nothing').waitFor()
  })

  test('a server is started again, and signed in at; where it leads is told first', async () => {
    const { page, of } = await opened({ parts: true })
    const servers = part(page, 'Tools of servers')
    await servers.getByLabel('Start notes again').click()
    await servers.getByText('starting').waitFor()
    of.parts.wantsClient = true
    await servers.getByRole('button', { name: 'Connect…' }).click()
    const dialog = page.getByRole('dialog', { name: 'Sign in for linear' })
    await dialog.getByText('auth.linear.app lets nobody introduce itself').waitFor()
    await dialog.getByLabel('Client ID').fill('toft-1')
    expect(await violations(page)).toEqual([])
    await dialog.getByLabel('Client ID').press('Enter')
    const link = dialog.getByRole('link', { name: 'Go to auth.linear.app' })
    await link.waitFor()
    expect(of.parts.asked).toEqual({ clientId: 'toft-1' })
    expect(await link.getAttribute('href')).toBe('https://auth.linear.app/authorize?state=x')
    expect(await link.getAttribute('rel')).toContain('noopener')
    expect(await dialog.innerText()).toContain('mcp.linear.app')
    // The page there is not for this test.
    await page.context().route('https://auth.linear.app/**', (route) => route.fulfill({ body: '' }))
    await link.click()
    await dialog.getByText('Waiting for you to finish there…').waitFor()
    signedIn(of, 'linear')
    await poll(() => dialog.count()).toBe(0)
    await servers.getByText(/Signed in by Admin/).waitFor()
    await servers.getByRole('button', { name: 'Disconnect…' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Disconnect' }).click()
    await poll(() => of.parts.connections).toEqual([])
  })

  test('nothing: each part says what it is for, and how to begin', async () => {
    const { page } = await opened({ width: 390, height: 844 })
    for (const name of ['Skills', 'Tools of servers', 'Extensions'])
      await part(page, name).getByText('None in this project.').waitFor()
    expect(await violations(page)).toEqual([])
    await part(page, 'Extensions').getByRole('button', { name: 'Ask the agent for one' }).click()
    await poll(() => page.getByLabel('Message to the agent').inputValue()).toContain(
      '.toft/extensions',
    )
  })

  test('an extension that fails is a quiet line of the conversation', async () => {
    const { page } = await start()
    await openProject(page)
    await prompt(page, 'use the extension')
    await page.getByText('I go on without it.').waitFor()
    await poll(() => transcript(page)).toContain(
      'Extension guard, tool_call: It did not answer within 5 s: the call was refused.',
    )
  })
})

async function tested() {
  const started = await start()
  const { page, world } = started
  await openProject(page)
  await prompt(page, 'run the tests')
  await page.getByText('1 check passed').waitFor()
  return { ...started, of: project(world) }
}

describe('receipts', () => {
  const claim = (page, name) => page.getByRole('button', { name })

  test('stand under their turn; words that claim one lead to it, others say that there is none', async () => {
    const { page } = await tested()
    await claim(page, 'all tests pass').click()
    const receipt = page.getByRole('dialog', { name: 'Receipt' })
    await poll(() => receipt.innerText()).toMatch(/Receipt 1: passed\s+npm test/)
    expect(await receipt.innerText()).toMatch(/42, unchanged since\s*3f1c2ab9/)
    expect(await receipt.innerText()).toContain('unchanged since')
    expect(await violations(page)).toEqual([])
    await receipt.getByRole('button', { name: 'Show the call' }).click()
    await page.locator('[role=article] pre').getByText('12 passed').waitFor()
    await claim(page, 'the linter is clean').click()
    await receipt.getByText('nothing that it ran for this prompt was recognised').waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: /Ran 2 tools/ }).click()
    const receipts = page.getByRole('list', { name: 'Receipts' }).getByRole('listitem')
    await poll(() => receipts.count()).toBe(2)
    await page.getByRole('button', { name: 'Undo from here on…' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
    await page.reload()
    await claim(page, 'all tests pass').waitFor()
  })

  test('grey when the files are others', async () => {
    const { page, of } = await tested()
    of.parts.receipts[0].stale = true
    await lookAgain(page)
    await untilSeen(page, page.getByText('1 check passed, changed since'))
    await untilSeen(page, claim(page, 'all tests pass changed since'))
    await page.getByRole('button', { name: /Ran 2 tools/ }).click()
    await page
      .getByRole('list', { name: 'Receipts' })
      .getByText('changed since', { exact: true })
      .waitFor()
    expect(await violations(page)).toEqual([])
  })
})

test('a plan that waits needs you: in the title, the sidebar and the list of projects', async () => {
  const { page } = await start()
  await openProject(page)
  await page.getByRole('button', { name: 'Mode: Build' }).click()
  await page.getByRole('menuitem', { name: /^Plan/ }).click()
  await prompt(page, 'Make a plan for the database')
  await page.getByRole('button', { name: 'Approve and build' }).waitFor()
  const sidebar = page.getByRole('navigation', { name: 'Project' })
  await sidebar.getByText('Needs you').last().waitFor()
  await poll(() => page.title()).toBe('(1) Garden planner · Toft')
  await page.getByRole('button', { name: 'Approve and build' }).click()
  await page.getByText('The plan is carried out').waitFor()
  await poll(() => page.title()).toBe('Garden planner · Toft')
})
