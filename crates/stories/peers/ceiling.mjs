// The ceiling of what a project may reach, in a real Chromium: seen, nothing offered above it, raised for one
// project by an admin and lowered again; and a project that is made so that it reaches models only. Made by
// the test: the project, set to open under a server whose ceiling is the allow-list. Prints `raised` and
// `lowered` when the machine is to try.
import { begin, expect, made, signIn } from './chromium.mjs'

const { page, tell } = await begin({ strict: true })

await tell(async () => {
  await signIn(page, made.project)
  await page.keyboard.press('Alt+e')
  const panel = page.getByLabel('Network panel')
  await panel.getByText('Set to Open; the ceiling holds.').waitFor()
  await panel.getByText('Ceiling of this server: Allow-list.').waitFor()
  const level = panel.getByRole('radiogroup', { name: 'What the machine may reach' })
  expect(await level.getByLabel('Open').isDisabled(), 'nothing above the ceiling is offered')

  await panel.getByRole('button', { name: 'Change the ceiling' }).click()
  const ceiling = panel.getByRole('radiogroup', { name: 'Ceiling of this project' })
  await ceiling.getByText('Open', { exact: true }).click()
  await panel.getByText('Ceiling of this project: Open.').waitFor()
  await panel.getByText('It reaches every public host.').waitFor()
  console.log('raised')
  await panel.getByText('raised.test').waitFor()
  await ceiling.getByText('As the server', { exact: true }).click()
  await panel.getByText('Ceiling of this server: Allow-list.').waitFor()
  console.log('lowered')
  await panel.getByText('lowered.test').first().waitFor()

  await page.getByRole('button', { name: /Commands/ }).click()
  const input = page.getByPlaceholder('Open, run, or name a new project')
  await input.fill('New project')
  await page.getByRole('option').first().waitFor()
  await input.press('Enter')
  await page.getByPlaceholder('Name of the new project').fill('Closed garden')
  await page.getByRole('option', { name: /reaches models only/ }).click()
  await page.waitForURL((url) => !url.pathname.includes(made.project))
  await page.getByLabel('Message to the agent').first().waitFor()
  await page.keyboard.press('Alt+e')
  await panel.getByText('It reaches models through the gateway, and nothing else.').waitFor()
})
