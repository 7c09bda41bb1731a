// The cost of a project in a real Chromium: the panel shows what the test says was reported, follows
// while the agent works, sets a limit, leads to the conversation, and the settings show the same.
// Arguments: the sign-in link, the project's id, a folder for the profile, then what must be seen as JSON:
// `{calls, cost, prompt, more: {calls, cost}}`. Prints `prompt` when the test shall have the agent asked once more.
import { expect, launch } from './chromium.mjs'

const [link, project, profile, wanted] = process.argv.slice(2)
const { calls, cost, prompt, more } = JSON.parse(wanted)
const browser = await launch(profile)
const page = browser.pages()[0] ?? (await browser.newPage())
page.setDefaultTimeout(60_000)
const faults = []
page.on('pageerror', (error) => faults.push(`page error: ${error.message}`))

try {
  await page.goto(link)
  await page.getByPlaceholder('Open, run, or name a new project').waitFor()
  await page.goto(new URL(`/projects/${project}`, link).href)
  await page.getByLabel('Message to the agent').waitFor()
  await page.keyboard.press('Alt+u')
  const panel = page.getByLabel('Cost panel')
  await panel.getByText(new RegExp(`^${calls} calls\\. Tokens`)).waitFor()
  await panel.getByText(cost, { exact: true }).first().waitFor()
  await panel.getByRole('row').filter({ hasText: prompt }).waitFor()

  // It follows: nobody presses anything.
  console.log('prompt')
  await panel.getByText(new RegExp(`^${more.calls} calls\\. Tokens`)).waitFor()
  await panel.getByText(more.cost, { exact: true }).first().waitFor()
  await panel.getByText('Models', { exact: true }).click()
  await panel.getByRole('row').filter({ hasText: 'fake-1' }).waitFor()

  await panel.getByLabel('Calls a minute').fill('7')
  await panel.getByLabel('Calls a minute').press('Enter')
  await page.getByText('The limits are in force').waitFor()

  await page.goto(new URL('/settings#cost', link).href)
  const part = page.getByRole('region', { name: 'Cost' })
  await part.getByText(more.cost, { exact: true }).first().waitFor()
  await part.getByRole('link', { name: 'Shop' }).click()
  await page.waitForURL(new RegExp(`/projects/${project}`))
  expect(faults.length === 0, faults.join('\n'))
  console.log('done')
} catch (error) {
  console.log(String(error?.stack ?? error))
  process.exitCode = 1
} finally {
  await browser.close()
}
