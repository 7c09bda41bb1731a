// Secrets in a real Chromium: the agent asks, a person fills in the form, the agent goes on; the panel
// lists names. The page never holds a value that was sent. Arguments: the sign-in link, a folder for
// the profile, the project's name, the value.
import { launch } from './chromium.mjs'

const [link, profile, project, canary] = process.argv.slice(2)
const browser = await launch(profile)
const page = browser.pages()[0] ?? (await browser.newPage())
page.setDefaultTimeout(60_000)
const faults = []
page.on('pageerror', (error) => faults.push(`page error: ${error.message}`))
page.on('console', (message) => {
  if (message.type() === 'error' && /Content Security Policy/.test(message.text())) {
    faults.push(message.text())
  }
})
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

await page.goto(link)
await page.getByRole('option', { name: new RegExp(project) }).click()
const composer = page.getByLabel('Message to the agent').first()
await composer.fill('ask')
await composer.press('Enter')
const form = page.getByRole('form', { name: 'Secrets that the agent asks for' })
await form.getByText('To reach the shop').waitFor()
// A page that is opened anew has the form, too.
await page.reload()
await form.getByLabel('API_KEY').fill(canary)
await form.getByLabel('NEW_KEY').fill(`${canary}-2\n`)
await form.getByRole('button', { name: 'Set' }).click()
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
await browser.close()
if (faults.length > 0) {
  console.log(faults.join('\n'))
  process.exit(1)
}
console.log('done secrets')
process.exit(0)
