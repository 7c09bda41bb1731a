// The agent's settings in a real Chromium: a rule has the agent ask, once for all of a conversation; what
// it says of tests leads to a receipt, which greys; a plan that waits needs a person. Made by the
// test: the project's name. It is told when the plan waits, and says when it has looked.
import { createInterface } from 'node:readline'
import { begin, expect, made, until } from './chromium.mjs'

const { link, project } = made
const { page, tell } = await begin({ strict: true })
const heard = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

const composer = page.getByLabel('Message to the agent').first()
const panel = page.getByRole('region', { name: 'Agent panel' })
const rules = panel.getByRole('list', { name: 'Rules' }).getByRole('listitem')
const say = async (words) => {
  await composer.fill(words)
  await composer.press('Enter')
}

await tell(async () => {
  await page.goto(link)
  await page.getByRole('option', { name: new RegExp(project) }).click()
  await composer.waitFor()
  await page.keyboard.press('Alt+g')
  await panel.getByText('How this shop is released').waitFor()
  await panel.getByRole('button', { name: 'Add a rule' }).click()
  await page.getByRole('menuitem', { name: 'Ask before any command' }).click()
  await rules.nth(1).waitFor()
  await panel.getByLabel('Model calls').fill('40')
  await panel.getByLabel('Time').fill('20 min')
  await panel.getByRole('button', { name: 'Set limits' }).click()
  await until('what was set', async () =>
    (await panel.getByLabel('Time').inputValue()) === '20 minutes',
  )

  await say('twice')
  const asked = page.getByRole('form', { name: 'Permission' })
  await asked.getByText('echo one >> runs.txt && echo too >> runs.txt').waitFor()
  // A page that is opened anew has rule and question, too.
  await page.reload()
  await asked.getByRole('button', { name: 'Always in this conversation' }).click()
  await page.getByText('Both ran.').waitFor()
  await rules.nth(1).waitFor()
  expect((await rules.first().innerText()) === 'Ask\nbash', 'the rule is kept')

  await say('prove it')
  const claim = page.getByRole('button', { name: 'All tests pass receipt' })
  await claim.click()
  const receipt = page.getByRole('dialog', { name: 'Receipt' })
  await receipt.getByText('unchanged since').waitFor()
  expect((await receipt.innerText()).includes('bash test.sh'), 'it says what was run')
  await page.keyboard.press('Escape')
  await say('change it')
  await page.getByText('It is changed.').waitFor()
  await page.getByRole('button', { name: 'All tests pass changed since' }).waitFor()

  await page.getByRole('button', { name: 'Mode: Build' }).click()
  await page.getByRole('menuitem', { name: /^Plan/ }).click()
  await page.getByRole('button', { name: 'Mode: Plan' }).waitFor()
  await say('propose')
  await page.getByRole('button', { name: 'Approve and build' }).waitFor()
  await page.getByRole('navigation', { name: 'Project' }).getByText('Needs you').last().waitFor()
  await until('the title', async () => (await page.title()).startsWith('(1) '))
  console.log('proposed')
  await heard.next()
  await page.getByRole('button', { name: 'Reject…' }).click()
  await page.getByRole('button', { name: 'Reject', exact: true }).click()
  await until('the title', async () => !(await page.title()).startsWith('('))
})
