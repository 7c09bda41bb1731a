// Secrets in a real Chromium: the agent asks, a person fills in the form, the agent goes on; the panel
// lists names. The page never holds a value that was sent. Made by the test: the project's
// name, the value.
import { begin, made } from './chromium.mjs'

const { link, project, canary } = made
const { page, faults, tell } = await begin({ strict: true })
const carriers = []
page.on('request', (request) => {
  if (`${request.url()} ${request.postData() ?? ''}`.includes(canary)) {
    carriers.push(`${request.method()} ${new URL(request.url()).pathname}`)
  }
})

async function holdsNone(when) {
  const kept = await page.evaluate(() =>
    JSON.stringify([document.documentElement.outerHTML, { ...localStorage }, { ...sessionStorage }]),
  )
  if (kept.includes(canary)) faults.push(`the page holds the value ${when}`)
}

await tell(async () => {
  await page.goto(link)
  await page.getByRole('option', { name: new RegExp(project) }).click()
  const composer = page.getByLabel('Message to the agent').first()
  await composer.fill('ask')
  await composer.press('Enter')
  const form = page.getByRole('form', { name: 'Secrets that the agent asks for' })
  await form.getByText('To reach the shop').waitFor()
  // A page that is opened anew has the form, too.
  await page.reload()
  await form.getByLabel('API_KEY', { exact: true }).fill(canary)
  await form.getByLabel('NEW_KEY', { exact: true }).fill(`${canary}-2\n`)
  await form.getByRole('button', { name: 'Set', exact: true }).click()
  await page.getByText('API_KEY, NEW_KEY set').waitFor()
  await page.getByText('Well.').last().waitFor()
  await holdsNone('after it was sent')

  await page.keyboard.press('Alt+v')
  const panel = page.getByLabel('Secrets panel')
  const row = (name) => panel.getByRole('listitem').filter({ hasText: name })
  await row('API_KEY').getByText(/^Set/).waitFor()
  await row('NEW_KEY').waitFor()
  await row('NEW_KEY').getByRole('button', { name: 'Delete NEW_KEY' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await row('NEW_KEY').waitFor({ state: 'detached' })
  await holdsNone('in the panel')

  const wrong = carriers.filter((each) => !/^POST \/v1\/projects\/[a-z0-9]+\/secrets$/.test(each))
  if (wrong.length > 0 || carriers.length !== 1) faults.push(`the value went by ${carriers}`)
})
