import { describe, expect, test } from 'vitest'
import { harness, openProject, poll, project, prompt, transcript, violations } from './harness.mjs'

const start = harness()
const CANARY = 'sk_live_canary_0123456789'

async function withPanel(prepare = () => {}, options = {}) {
  const started = await start(options)
  const garden = project(started.world)
  prepare(garden)
  await openProject(started.page)
  await started.page.keyboard.press('Alt+v')
  return { ...started, garden, panel: started.page.getByLabel('Secrets panel') }
}

/** The value is in no text, no attribute and nothing that the browser keeps. */
async function seesNone(page) {
  const kept = await page.evaluate(() =>
    JSON.stringify([
      document.documentElement.outerHTML,
      { ...localStorage },
      { ...sessionStorage },
    ]),
  )
  expect(kept).not.toContain(CANARY)
}

describe('secrets', () => {
  test('are added, replaced and deleted by name, and no value is ever shown', async () => {
    const { page, panel, garden } = await withPanel()
    await panel.getByText('No secrets yet').waitFor()
    expect(await violations(page)).toEqual([])
    await panel.getByRole('button', { name: 'Add a secret' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Name').fill('9 lives')
    await dialog.getByRole('button', { name: 'Set' }).click()
    await dialog.getByText('no digit first', { exact: false }).waitFor()
    await dialog.getByText('Paste its value.').waitFor()
    await dialog.getByLabel('Name').fill('PATH')
    await dialog.getByLabel('Value').fill(`${CANARY}\n`)
    await dialog.getByRole('button', { name: 'Set' }).click()
    await dialog.getByText('This name is set by Toft itself.').waitFor()
    expect(await violations(page)).toEqual([])
    await dialog.getByLabel('Name').fill('STRIPE_KEY')
    // Enter sends it, as in any field of one line.
    await dialog.getByLabel('Value').press('Enter')
    const row = panel.getByRole('listitem').filter({ hasText: 'STRIPE_KEY' })
    await row.getByText('by Admin', { exact: false }).waitFor()
    expect(garden.secrets.get('STRIPE_KEY').value).toBe(CANARY)
    await seesNone(page)
    expect(await violations(page)).toEqual([])

    await row.getByRole('button', { name: 'Replace STRIPE_KEY' }).click()
    await dialog.getByLabel('Value').fill('-----BEGIN KEY-----\nAAAA\n-----END KEY-----\n')
    await dialog.getByRole('button', { name: 'Set' }).click()
    await dialog.waitFor({ state: 'hidden' })
    expect(garden.secrets.get('STRIPE_KEY').value).toBe(
      '-----BEGIN KEY-----\nAAAA\n-----END KEY-----',
    )
    await row.getByRole('button', { name: 'Delete STRIPE_KEY' }).click()
    await dialog.getByRole('button', { name: 'Delete' }).click()
    await panel.getByText('No secrets yet').waitFor()
    expect(garden.secrets.size).toBe(0)
  })

  test('are brokered to the hosts that are named, and keep their binding when they are replaced', async () => {
    const { page, panel, garden } = await withPanel()
    await panel.getByRole('button', { name: 'Add a secret' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Name').fill('STRIPE_KEY')
    await dialog.getByLabel('Value').fill('short')
    await dialog.getByText('A placeholder', { exact: true }).click()
    await dialog.getByRole('button', { name: 'Set' }).click()
    await dialog.getByText('8 to 4096 characters', { exact: false }).waitFor()
    await dialog.getByText('Name a host', { exact: false }).waitFor()
    expect(await violations(page)).toEqual([])
    await dialog.getByLabel('Value').fill(CANARY)
    await dialog.getByLabel('Hosts').fill('api.stripe.com, *.stripe.dev')
    await dialog.getByLabel('Only these paths').fill('/v1/*')
    await dialog.getByRole('button', { name: 'Set' }).click()
    const row = panel.getByRole('listitem').filter({ hasText: 'STRIPE_KEY' })
    await row
      .getByText('Goes to api.stripe.com, *.stripe.dev /v1/* alone.', { exact: false })
      .waitFor()
    await seesNone(page)
    expect(await violations(page)).toEqual([])
    await row.getByRole('button', { name: 'Replace STRIPE_KEY' }).click()
    await poll(() => dialog.getByLabel('Hosts').inputValue()).toBe('api.stripe.com, *.stripe.dev')
    await dialog.getByLabel('Value').fill(`${CANARY}-2`)
    await dialog.getByRole('button', { name: 'Set' }).click()
    await dialog.waitFor({ state: 'hidden' })
    const { value, binding } = garden.secrets.get('STRIPE_KEY')
    expect([value, binding.hosts]).toEqual([`${CANARY}-2`, ['api.stripe.com', '*.stripe.dev']])
  })

  test('of a fork have names without values, and a fork is granted those that are ticked', async () => {
    const { page, panel, garden } = await withPanel((at) => {
      at.secrets.set('OPEN', { name: 'OPEN', value: null, setAt: Date.now() })
      at.secrets.set('GIVEN', { name: 'GIVEN', value: 'x', setAt: Date.now() })
    })
    await panel.getByText('1 secret set, 1 without a value').waitFor()
    await panel.getByText('No value yet', { exact: false }).waitFor()
    expect(await violations(page)).toEqual([])
    await page.keyboard.press('Control+k')
    await page.getByRole('combobox', { name: 'Commands and projects' }).fill('fork')
    await page.getByRole('option', { name: /^Fork/ }).first().click()
    const dialog = page.getByRole('dialog')
    await dialog.getByRole('checkbox', { name: 'GIVEN' }).check()
    expect(await dialog.getByRole('checkbox', { name: 'OPEN' }).count()).toBe(0)
    expect(await violations(page)).toEqual([])
    const asked = page.waitForRequest((request) => request.url().endsWith('/fork'))
    await dialog.getByRole('button', { name: 'Fork', exact: true }).click()
    expect((await asked).postDataJSON().secrets).toEqual(['GIVEN'])
    expect(garden.secrets.size).toBe(2)
  })

  test('say which services were started with older ones, and which an integration lacks', async () => {
    const at = new Date().toISOString()
    const { page, panel } = await withPanel((garden) => {
      garden.secrets.set('STRIPE_KEY', { name: 'STRIPE_KEY', value: 'x', setAt: Date.now() })
      garden.inspect = {
        integrations: [
          {
            id: 'stripe',
            name: 'Stripe',
            status: 'disconnected',
            secrets: ['STRIPE_KEY', 'STRIPE_HOOK'],
            description: null,
            created_at: at,
            updated_at: at,
          },
        ],
        services: [
          {
            id: 'web',
            name: 'Shop',
            type: 'app',
            port: null,
            schedule: null,
            status: 'running',
            description: null,
            command: 'node server.mjs',
            process: {
              state: 'running',
              pid: 9,
              restarts: 0,
              exitCode: null,
              since: Date.now(),
              restartToApply: true,
            },
            created_at: at,
            updated_at: at,
          },
        ],
        assets: [],
      }
    })
    await panel.getByText('1 service was started with older values', { exact: false }).waitFor()
    expect(await violations(page)).toEqual([])
    await panel.getByRole('button', { name: 'Open services' }).click()
    await page
      .getByLabel('Services panel')
      .getByText('restart to apply the new secrets', { exact: false })
      .waitFor()
    await page.getByLabel('Project', { exact: true }).getByText('Stripe', { exact: true }).click()
    const integration = page.getByLabel('Integration panel')
    await integration.getByText('STRIPE_HOOK').waitFor()
    await integration.getByRole('button', { name: 'Set…' }).click()
    await page.getByRole('dialog', { name: 'Set STRIPE_HOOK' }).waitFor()
    expect(await violations(page)).toEqual([])
  })

  test('that the agent asks for are filled in past the conversation', async () => {
    const { page, world } = await start()
    const garden = project(world)
    await openProject(page)
    const sent = []
    page.on('request', (request) => sent.push(`${request.url()} ${request.postData() ?? ''}`))
    await prompt(page, 'Take payments: you may need a secret')
    const form = page.getByRole('form', { name: 'Secrets that the agent asks for' })
    await form.getByText('To take payments I need the keys', { exact: false }).waitFor()
    await poll(() => form.getByRole('button', { name: 'Set' }).isDisabled()).toBe(true)
    expect(await violations(page)).toEqual([])
    // One after the other.
    const line = form.getByText('Brokered, as the agent proposes', { exact: false })
    await poll(() => line.innerText()).toContain('only requests to api.stripe.com /v1/* carry it.')
    await form.getByLabel('STRIPE_KEY', { exact: true }).fill('short')
    await form.getByText('8 to 4096 characters', { exact: false }).waitFor()
    await form.getByLabel('STRIPE_KEY', { exact: true }).fill(CANARY)
    await form.getByRole('button', { name: 'Change what becomes of STRIPE_KEY' }).click()
    await poll(() => form.getByLabel('Hosts').inputValue()).toBe('api.stripe.com')
    await form.getByLabel('Hosts').fill('')
    await poll(() => form.getByRole('button', { name: 'Set', exact: true }).isDisabled()).toBe(true)
    await form.getByLabel('Hosts').fill('files.stripe.com')
    expect(await violations(page)).toEqual([])
    await form.getByRole('button', { name: 'Set', exact: true }).click()
    await poll(() => form.getByLabel('STRIPE_KEY', { exact: true }).count()).toBe(0)
    await form.getByLabel('STRIPE_HOOK', { exact: true }).fill(`${CANARY}2`)
    await form.getByRole('button', { name: 'Set' }).click()
    await page.getByText('STRIPE_KEY, STRIPE_HOOK set').waitFor()
    await page.getByText('Payments work now.').waitFor()
    expect([...garden.secrets.values()].map((each) => each.value)).toEqual([CANARY, `${CANARY}2`])
    expect(garden.secrets.get('STRIPE_KEY').binding.hosts).toEqual(['files.stripe.com'])
    expect(garden.secrets.get('STRIPE_HOOK').binding).toBeNull()
    const elsewhere = sent.filter((each) => each.includes(CANARY) && !each.includes('/secrets '))
    expect(elsewhere).toEqual([])
    expect((await transcript(page)).join(' ')).not.toContain(CANARY)
    await seesNone(page)
    // As the page is when it is opened again.
    await page.reload()
    await page.getByText('STRIPE_KEY, STRIPE_HOOK set').waitFor()
    await page.getByText('Goes to files.stripe.com /v1/* alone.').waitFor()
    expect(await violations(page)).toEqual([])
  })

  test('that the agent asks for may be left out', async () => {
    const { page } = await start()
    await openProject(page)
    await prompt(page, 'a secret please')
    const form = page.getByRole('form', { name: 'Secrets that the agent asks for' })
    await form.getByLabel('STRIPE_KEY', { exact: true }).waitFor()
    await page.reload()
    await form.getByRole('button', { name: 'Not now' }).click()
    await page.getByText('STRIPE_KEY, STRIPE_HOOK not set').waitFor()
  })
})
