// The way out of a project in a real Chromium: a level is chosen, a block is seen as it happens, allowed
// by one click, and a stricter level says what it cut. Made by the test: the
// project. Prints what the test shall have the machine try: `blocked`, `allowed`, `long`, `cut`.
import { begin, made, signIn } from './chromium.mjs'

const { page, tell } = await begin({ strict: true })

await tell(async () => {
  await signIn(page, made.project)
  await page.keyboard.press('Alt+e')
  const panel = page.getByLabel('Network panel')
  await panel.getByText('That is the default of this server.').waitFor()
  await panel.getByText('Allow-list', { exact: true }).click()
  await panel.getByText('None yet: nothing but models is reached.').waitFor()

  console.log('blocked')
  await panel.getByText('Blocked: it is not on the allow-list.').waitFor()
  await panel.getByRole('button', { name: 'Allow other.test' }).click()
  await page.getByText('other.test is allowed now').waitFor()

  console.log('allowed')
  await panel.getByText(/by other\.test/).waitFor()
  await panel.getByLabel('Add a host').fill('localhost')
  await panel.getByRole('button', { name: 'Add', exact: true }).click()
  await panel.getByText(/"localhost" would allow nothing/).waitFor()

  console.log('long')
  await panel.getByText('1 connection is open.').waitFor()
  await panel.getByText('Models only', { exact: true }).click()
  await page.getByText('1 open connection was no longer allowed and cut.').waitFor()
  await panel.getByText('Cut when the level changed: it is no longer allowed.').waitFor()
  console.log('cut')
})
