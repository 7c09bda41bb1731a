import { describe, expect, test } from 'vitest'
import {
  chosen,
  command,
  harness,
  lookAgain,
  openProject,
  poll,
  project,
  prompt,
  untilGone,
  untilSeen,
  untilTold,
  violations,
} from './harness.mjs'
import { withPast } from './machine-world.mjs'

const start = harness()
const area = (page, name) => page.getByLabel(`${name} panel`)

async function withMachine(options, change = () => {}) {
  const started = await start(options)
  const garden = project(started.world)
  withPast(garden)
  change(garden)
  await openProject(started.page)
  return { ...started, garden }
}

describe('the machine', () => {
  test('takes limits as people write them, and says which are enforced', async () => {
    const { page, garden } = await withMachine()
    await page.keyboard.press('Alt+i')
    await page.getByText('Its processes run, and it answers at once.').waitFor()
    await page.getByText(/^Enforced: cgroup v2 memory\.max/).waitFor()
    await page.getByText(/^Not enforced here: the controller cpu/).waitFor()
    await page.getByLabel('Memory', { exact: true }).fill('much')
    await page.getByText('Like 4 GiB or 512 MiB').waitFor()
    await poll(() => page.getByRole('button', { name: 'Set limits' }).isDisabled()).toBe(true)
    await page.getByLabel('Memory', { exact: true }).fill('256 MiB')
    await page.getByText(/It uses 466 MiB now/).waitFor()
    await page.getByLabel('Processors', { exact: true }).fill('1,5')
    await page.getByLabel('Processes', { exact: true }).fill('')
    await page.getByLabel('Log folder', { exact: true }).fill('1 GiB')
    await page.getByLabel('Log folder', { exact: true }).press('Enter')
    await poll(() => garden.side.limits).toEqual({
      memoryBytes: 256 * 2 ** 20,
      cpus: 1.5,
      pids: null,
      diskBytes: null,
      logBytes: 2 ** 30,
    })
    await untilGone(page, page.getByRole('button', { name: /^Set(ting…| limits)$/ }))
  })

  test('rests by a rule that can be changed, and tells why it was woken', async () => {
    const { page, garden } = await withMachine()
    await page.keyboard.press('Alt+i')
    await page.getByText(/Without use for 5 minutes it freezes; after 1 hour/).waitFor()
    await page.getByLabel('Freeze after').selectOption('never')
    await page.getByText(/Without use, after 1 hour it goes cold/).waitFor()
    // It is shown before the server has heard of it.
    await poll(() => garden.side.idle).toEqual({ freezeAfterS: null, coldAfterS: 3600 })
    await page.getByText('a request to the app on port 3000').waitFor()
  })

  test('is frozen, thawed, put to sleep and woken by hand and by command', async () => {
    const { page, garden } = await withMachine()
    await page.keyboard.press('Alt+i')
    await area(page, 'Machine').getByRole('button', { name: 'Freeze' }).click()
    await page.getByText(/stand still in memory/).waitFor()
    await command(page, 'thaw', 'Thaw the machine')
    await poll(() => garden.state).toBe('running')
    await area(page, 'Machine').getByRole('button', { name: 'Sleep' }).click()
    await page.getByText(/Its processes have ended/).waitFor()
    await area(page, 'Machine').getByRole('button', { name: 'Wake' }).click()
    await poll(() => garden.state).toBe('running')
  })

  test('offers nothing that its backend cannot', async () => {
    const { page } = await withMachine({}, ({ side }) => {
      side.can = { ...side.can, freeze: false, limits: [] }
    })
    await page.keyboard.press('Alt+i')
    await page.getByText(/cannot freeze machines/).waitFor()
    await poll(() => page.getByText(/^Not enforced here/).count()).toBe(5)
    expect(await page.getByRole('button', { name: 'Freeze' }).count()).toBe(0)
    expect(await page.getByLabel('Freeze after').count()).toBe(0)
    await page.keyboard.press('Control+k')
    await page.getByPlaceholder('Open, run').fill('freeze')
    expect(
      await page.getByRole('option', { name: 'Freeze the machine', exact: true }).count(),
    ).toBe(0)
  })

  test('that rests is left alone by open panels, reloads and returning to the tab', async () => {
    const { page, garden } = await withMachine()
    const panels = { 'Alt+f': 'Files', 'Alt+l': 'Log', 'Alt+i': 'Machine', 'Alt+s': 'Services' }
    for (const [key, name] of Object.entries(panels)) {
      await page.keyboard.press(key)
      await page.getByRole('tab', { name, exact: true }).waitFor()
    }
    await area(page, 'Services').getByText('Mail worker').waitFor()
    for (const state of ['frozen', 'cold']) {
      garden.state = state
      await page.reload()
      await page.getByLabel('Message to the agent').waitFor()
      await untilSeen(
        page,
        page.getByRole('button', { name: state === 'cold' ? 'Cold' : 'Frozen' }),
      )
      garden.side.calls.length = 0
      await page.getByRole('tab', { name: 'Files' }).click()
      await page.getByText('this is its disk').waitFor()
      await poll(async () => {
        await lookAgain(page)
        return garden.side.calls.length
      }).toBeGreaterThan(3)
      const reads =
        /^GET (toft\/(events|messages|inspect|state|sessions|files)|checkpoints|schedules|disk)/
      expect(garden.side.calls.filter((call) => !reads.test(call))).toEqual([])
      expect(garden.state).toBe(state)
    }
  })
})

test('a reached limit is told with its victim until a person has seen it', async () => {
  const { page, garden } = await withMachine()
  garden.emit('limit', null, {
    kind: 'memory',
    command: 'node build.mjs',
    pid: 212,
    peak: 2 ** 32,
    limit: 2 ** 32,
    message: 'Give the machine more memory.',
  })
  const notice = page.getByRole('alert').filter({ hasText: 'Out of memory' })
  await notice.getByText('node build.mjs').waitFor()
  await notice.getByText('4.0 GiB of 4.0 GiB').waitFor()
  await page.reload()
  await notice.getByRole('button', { name: 'Limits' }).click()
  await area(page, 'Machine').getByText('node build.mjs').waitFor()
  await notice.getByRole('button', { name: 'Ask the agent' }).click()
  await poll(() => page.getByLabel('Message to the agent').inputValue()).toContain('node build.mjs')
  await notice.getByRole('button', { name: 'Seen' }).click()
  await page.reload()
  // The page knows of it, and says nothing.
  await area(page, 'Machine').getByText('node build.mjs').waitFor()
  await page.getByLabel('Message to the agent').waitFor()
  expect(await notice.count()).toBe(0)
})

describe('services', () => {
  test('are watched, started, stopped, and their log is followed', async () => {
    const { page, garden } = await withMachine()
    await page.keyboard.press('Alt+s')
    const panel = area(page, 'Services')
    await panel
      .getByRole('button', { name: /^Mail worker failed started again 5 times, exit code 1/ })
      .waitFor()
    await panel.getByRole('button', { name: /^Task app/ }).click()
    await panel.getByText('NODE_ENV=production').waitFor()
    const log = page.getByRole('log', { name: 'Log of the service' })
    await poll(async () => (await log.textContent()).match(/GET/g)?.length ?? 0).toBeGreaterThan(2)
    expect((await log.textContent()).match(/Listening/g)).toHaveLength(1)
    await panel.getByRole('button', { name: 'Stop Task app' }).click()
    await panel.getByRole('button', { name: /^Task app stopped/ }).waitFor()
    await panel.getByRole('button', { name: 'Start Task app' }).click()
    await poll(() => garden.side.processes.get('web').state).toBe('running')
    // Nobody supervises what has no command.
    expect(await panel.getByRole('button', { name: /(Start|Stop) Old preview/ }).count()).toBe(0)
    garden.side.observe('web', 'failed', 3, 4)
    await untilTold(page, 'The service Task app failed')
    await panel.getByRole('button', { name: /^Task app failed/ }).waitFor()
  })
})

describe('schedules', () => {
  test('are made, explained, run, switched off and deleted', async () => {
    const { page, garden } = await withMachine({}, ({ side }) => {
      side.schedules = []
    })
    await page.keyboard.press('Alt+j')
    const panel = area(page, 'Schedules')
    await page.getByRole('button', { name: 'Add a schedule' }).click()
    const form = page.getByRole('dialog')
    await form.getByRole('button', { name: 'Add' }).click()
    await form.getByText('It needs a name.').waitFor()
    await page.getByLabel('Name', { exact: true }).fill('Backup')
    await page.getByLabel('Cron line').fill('61 * * * *')
    await form.getByText('“61” is no minute.').waitFor()
    await page.getByLabel('Cron line').fill('30 7 * * 1-5')
    await form.getByText('At 07:30, Monday to Friday.').waitFor()
    await form.getByText(/^Next: .*07:30 · .*07:30 · .*07:30/).waitFor()
    await form.getByText('Command', { exact: true }).click()
    await page.getByLabel('Command', { exact: true }).last().fill('make backup')
    await form.getByRole('button', { name: 'Add' }).click()
    await panel.getByRole('button', { name: /^Backup/ }).click()
    expect(garden.side.schedules).toMatchObject([
      { name: 'Backup', when: { cron: '30 7 * * 1-5' }, do: { command: 'make backup' } },
    ])
    await panel.getByRole('button', { name: 'Run now' }).click()
    await panel.getByText(/by hand/).waitFor()
    await panel.getByText('Output').click()
    await panel.getByText('backup done').waitFor()
    await panel.getByRole('switch', { name: 'Backup on' }).click()
    await poll(() => garden.side.schedules[0].enabled).toBe(false)
    await panel.getByRole('button', { name: 'More for Backup' }).click()
    await page.getByRole('menuitem', { name: 'Delete…' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
    await panel.getByText('No schedules yet').waitFor()
  })

  test('tell what became of each time and why, and fail aloud', async () => {
    const { page, garden } = await withMachine()
    await page.keyboard.press('Alt+j')
    const panel = area(page, 'Schedules')
    await panel.getByRole('button', { name: /^Morning report/ }).click()
    await panel.getByText('the server was away until 09:12').waitFor()
    garden.side.fire(garden.side.schedules[0], 'failed', { reason: 'the model refused the key' })
    await untilTold(page, 'Morning report failed')
    await panel.getByText('the model refused the key').first().waitFor()
  })
})

describe('the home page', () => {
  test('offers other images for a new project, and none where there is only one', async () => {
    const { page, world } = await start()
    await page.getByRole('option', { name: /Garden planner/ }).waitFor()
    await page.keyboard.type('Beans')
    const lines = page.getByRole('option', { name: /^Create project/ })
    await poll(() => lines.count()).toBe(1)
    const image = { ...world.images[0], kind: 'oci', default: false }
    world.images.push({ ...image, key: 'py', name: 'Python' })
    world.images.push({ ...image, key: 'go', name: 'Go', state: 'making' })
    world.images.push({ ...image, key: 'no', name: 'Broken', state: 'failed' })
    await page.reload()
    await page.getByRole('option', { name: /Garden planner/ }).waitFor()
    await page.keyboard.type('Beans')
    await poll(() => lines.allTextContents()).toEqual([
      'Create project Beans',
      'Create project Beans from Python',
      'Create project Beans from Gostill being made',
    ])
    await page.keyboard.press('ArrowDown')
    await chosen(page).filter({ hasText: 'from Python' }).waitFor()
    await page.keyboard.press('Enter')
    await poll(() => page.title()).toBe('Beans · Toft')
    expect(project(world, 'Beans').image).toBe('py')
  })

  test('shows that a machine rests beside what its agent waits for', async () => {
    const { page, world } = await start()
    const garden = project(world)
    garden.session().status = 'waiting'
    garden.state = 'frozen'
    await page.reload()
    await page.getByRole('option', { name: /Garden planner Needs you Frozen/ }).waitFor()
  })
})

describe.each([
  ['light', 1440],
  ['dark', 420],
])('in %s at %i pixels', (scheme, width) => {
  test('no panel of the machine has a fault of accessibility or hangs over the edge', async () => {
    const { page } = await withMachine({ scheme, width })
    await prompt(page, 'hello')
    await page.getByText('You said: hello').waitFor()
    const sound = async () => {
      expect(await violations(page)).toEqual([])
      expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBe(0)
    }
    await page.keyboard.press('Alt+k')
    await page.getByRole('button', { name: /Before the rewrite/ }).click()
    await page.getByRole('button', { name: /notes\.md/ }).click()
    await page.getByText('north wall').waitFor()
    await page.getByRole('button', { name: 'Change', exact: true }).click()
    await sound()
    await page.getByRole('button', { name: 'Go back…' }).click()
    await page
      .getByRole('dialog')
      .getByText(/moves back/)
      .waitFor()
    await sound()
    await page.keyboard.press('Escape')
    await page.keyboard.press('Alt+i')
    await page.getByRole('button', { name: /protections/ }).click()
    await sound()
    await page.keyboard.press('Alt+s')
    await area(page, 'Services')
      .getByRole('button', { name: /^Task app/ })
      .click()
    await page.getByRole('log', { name: 'Log of the service' }).getByText('GET').waitFor()
    await sound()
    await page.keyboard.press('Alt+j')
    await area(page, 'Schedules')
      .getByRole('button', { name: /^Backup/ })
      .click()
    await area(page, 'Schedules').getByRole('button', { name: 'Add', exact: true }).click()
    await page.getByRole('dialog').getByText('Monday to Friday.').waitFor()
    await sound()
  })
})
