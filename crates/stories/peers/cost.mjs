// The cost of a project in a real Chromium: the panel shows what the test says was reported, follows
// while the agent works, sets a limit, leads to the conversation, and the settings show the same.
// Made by the test: `{project, calls, cost, prompt, more: {calls, cost}}`, what must be seen. Prints
// `prompt` when the test shall have the agent asked once more.
import { begin, made, signIn } from './chromium.mjs'

const { link, project, calls, cost, prompt, more } = made
const { page, tell } = await begin({ strict: true })

await tell(async () => {
  await signIn(page, project)
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
})
