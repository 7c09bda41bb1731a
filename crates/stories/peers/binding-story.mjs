// A proposed binding in a real Chromium: the agent asks for two secrets and says where they are to go. The
// person agrees to one, and makes a plain variable of the other. Made by the test: the project, the value,
// the host.
import { begin, expect, made, signIn } from './chromium.mjs'

const { project, canary, host } = made
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

/** For the eyes, where somebody wants to see it. */
async function shot(name) {
  const folder = process.env.TOFT_STORY_SHOTS
  if (folder) await page.screenshot({ path: `${folder}/binding-${name}.png` })
}

await tell(async () => {
  await signIn(page, project)
  const composer = page.getByLabel('Message to the agent').first()
  await composer.fill('ask')
  await composer.press('Enter')
  const form = page.getByRole('form', { name: 'Secrets that the agent asks for' })
  const proposed = form.getByText('Brokered, as the agent proposes', { exact: false })
  await proposed.last().waitFor()
  await page.getByText('not asked for', { exact: false }).waitFor()
  expect((await proposed.count()) === 2, 'both are proposed')
  expect((await proposed.first().innerText()).includes(`only requests to ${host} /v1/* carry it`), 'it says where')
  await shot('asked')

  // The other one is to be a plain variable.
  await form.getByRole('button', { name: 'Change what becomes of OTHER_KEY' }).click()
  const hosts = await form.getByLabel('Hosts').inputValue()
  expect(hosts === host, `the proposal is filled in: ${hosts}`)
  await shot('changing')
  await form.getByRole('radiogroup', { name: 'What programs get of OTHER_KEY' }).getByText('The secret itself').click()
  await form.getByLabel('SHOP_KEY', { exact: true }).fill(canary)
  await form.getByLabel('OTHER_KEY', { exact: true }).fill('a plain value')
  await form.getByRole('button', { name: 'Set', exact: true }).click()
  await page.getByText('SHOP_KEY, OTHER_KEY set').waitFor()
  await page.getByText(`Goes to ${host} /v1/* alone.`).waitFor()
  // One for each answer of the model.
  await page.getByText('Well.').nth(3).waitFor()
  await shot('set')
  await holdsNone('after it was sent')

  await page.keyboard.press('Alt+v')
  const row = page.getByLabel('Secrets panel').getByRole('listitem').filter({ hasText: 'SHOP_KEY' })
  await row.getByText(`Goes to ${host}`, { exact: false }).waitFor()
  await shot('panel')
  await page.reload()
  await page.getByText('SHOP_KEY, OTHER_KEY set').waitFor()
  await holdsNone('when it is opened again')

  const wrong = carriers.filter((each) => !/^POST \/v1\/projects\/[a-z0-9]+\/secrets$/.test(each))
  if (wrong.length > 0 || carriers.length !== 1) faults.push(`the value went by ${carriers}`)
})
