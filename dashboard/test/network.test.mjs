import { describe, expect, test } from 'vitest'
import { harness, openProject, poll, project, untilTold, violations } from './harness.mjs'

const start = harness()

async function withNetwork(change = () => {}) {
  const started = await start()
  const garden = project(started.world)
  change(garden.side.network)
  await openProject(started.page)
  await started.page.keyboard.press('Alt+e')
  const { page } = started
  return { page, network: garden.side.network, panel: page.getByLabel('Network panel') }
}

describe('the network', () => {
  test('shows what is blocked as it happens, and allows it by one click', async () => {
    const { page, network, panel } = await withNetwork()
    await panel.getByText('That is the default of this server.').waitFor()
    await panel.getByText('Nothing went out yet').waitFor()
    network.tell('pypi.org')
    await panel.getByText('5.2 KiB in, 812 B out').waitFor()
    await panel.getByText('Allow-list', { exact: true }).click()
    await panel.getByText('None yet: nothing but models is reached.').waitFor()
    // It is shown before the server has heard of it.
    await poll(() => network.level).toBe('allow-list')
    network.tell('registry.npmjs.org')
    await panel.getByText('Blocked: it is not on the allow-list.').waitFor()
    await panel.getByRole('button', { name: 'Allow registry.npmjs.org' }).click()
    await untilTold(page, 'registry.npmjs.org is allowed now')
    await poll(() => network.rules).toEqual(['registry.npmjs.org'])
    await panel.getByText('allowed now', { exact: true }).waitFor()
    network.tell('registry.npmjs.org')
    await panel.getByText(/by registry\.npmjs\.org/).waitFor()
    await panel.getByText('Blocked', { exact: true }).click()
    await poll(() =>
      panel.getByRole('list', { name: 'Connections' }).getByRole('listitem').count(),
    ).toBe(1)
    expect(await violations(page)).toEqual([])
  })

  test('says what a stricter level cuts, before and after', async () => {
    const { page, network, panel } = await withNetwork((network) => {
      const at = new Date().toISOString()
      const one = { id: 1, at, via: 'connect', port: 22, rule: 'open', bytesIn: 2048, bytesOut: 10 }
      network.open = [{ ...one, host: 'git.test' }]
    })
    await panel.getByText('1 connection is open. A stricter level cuts').waitFor()
    await panel.getByText('open, 2.0 KiB in, 10 B out').waitFor()
    await panel.getByText('Models only', { exact: true }).click()
    await untilTold(page, '1 open connection was no longer allowed and cut.')
    await panel.getByText('Cut when the level changed: it is no longer allowed.').waitFor()
    // From there the one host that is needed becomes all that is allowed.
    await panel.getByRole('button', { name: 'Allow git.test' }).click()
    await poll(() => network.setting()).toEqual({
      level: 'allow-list',
      rules: ['git.test'],
      inForce: 'allow-list',
    })
  })

  test('takes hosts by hand, refuses what is none, and lets them go', async () => {
    const { network, panel } = await withNetwork((network) => {
      network.change({ level: 'allow-list', rules: ['a.test'] })
    })
    await panel.getByLabel('Add a host').fill('https://b.test')
    await panel.getByRole('button', { name: 'Add', exact: true }).click()
    await panel.getByText(/"https:\/\/b\.test" is not understood/).waitFor()
    await panel.getByLabel('Add a host').fill('*.b.test')
    await panel.getByRole('button', { name: 'Add', exact: true }).click()
    await poll(() => network.rules).toEqual(['a.test', '*.b.test'])
    // What is taken off is taken off the list that the page shows.
    await panel.getByRole('button', { name: 'Take *.b.test off' }).waitFor()
    await panel.getByRole('button', { name: 'Take a.test off' }).click()
    await poll(() => network.rules).toEqual(['*.b.test'])
  })
  test('shows the ceiling, offers nothing above it, and lets an admin raise it', async () => {
    const { network, panel } = await withNetwork((network) => {
      network.ceiling = 'allow-list'
    })
    await panel.getByText('Set to Open; the ceiling holds.').waitFor()
    await panel.getByText('Ceiling of this server: Allow-list.').waitFor()
    const level = panel.getByRole('radiogroup', { name: 'What the machine may reach' })
    await poll(() => level.getByLabel('Open').isDisabled()).toBe(true)
    await panel.getByRole('button', { name: 'Change the ceiling' }).click()
    const ceiling = panel.getByRole('radiogroup', { name: 'Ceiling of this project' })
    await ceiling.getByText('Open', { exact: true }).click()
    await panel.getByText('Ceiling of this project: Open.').waitFor()
    await poll(() => network.inForce()).toBe('open')
    await poll(() => level.getByLabel('Open').isDisabled()).toBe(false)
  })

  test('says how many connections a line stands for', async () => {
    const { network, panel } = await withNetwork((network) => {
      network.level = 'allow-list'
    })
    const lastAt = new Date().toISOString()
    network.tell('pypi.org', { count: 12_345, lastAt })
    await panel.getByText(/it is not on the allow-list\. 12,345 times since/).waitFor()
    network.tell('x', {
      host: null,
      port: null,
      rule: 'several',
      allowRule: null,
      count: 9,
      lastAt,
    })
    await panel.getByText(/more at once than the log tells apart\. 9 times since/).waitFor()
    await panel.getByText('Several hosts').waitFor()
  })
})
