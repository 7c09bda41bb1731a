// Fallbacks in a real Chromium: set, put in another order, and taken off in Settings; what a project says
// itself in its panel; who answered while a provider was down, in the chat and among the costs.
// Made by the test: `{project, shots?}`. Prints `down` when the provider shall go, `nobody` when the
// project is to have nobody, and waits for a line after each.
import { createInterface } from 'node:readline'
import { begin, expect, made, signIn } from './chromium.mjs'

const { link, project, shots } = made
const GPT = 'openai/gpt-5'
const GROQ = 'groq/llama-3.3-70b-versatile'
const { page, tell } = await begin({ strict: true })
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const asked = async (line) => {
  console.log(line)
  await lines.next()
}
const shot = async (name) => {
  if (shots) await page.screenshot({ path: `${shots}/${name}.png` })
}

await tell(async () => {
  await signIn(page)
  await page.goto(new URL('/settings#fallbacks', link).href)
  const part = page.getByRole('region', { name: 'Fallbacks' })
  await part.getByText('No model has another to stand in for it').waitFor()
  await part.getByRole('button', { name: 'Add a fallback' }).click()
  await part.getByLabel('Model', { exact: true }).fill('anthropic/*')
  // What cannot be is said where it was typed, and nothing is lost.
  await part.getByLabel('1. model to ask').fill('anthropic/claude-haiku-4-5')
  await part.getByRole('button', { name: 'Save' }).click()
  await part.getByRole('alert').getByText('is itself one of anthropic/*').waitFor()
  await part.getByLabel('1. model to ask').fill(GPT)
  await part.getByRole('button', { name: 'One more' }).click()
  await part.getByLabel('2. model to ask').fill(GROQ)
  await part.getByRole('button', { name: `Ask ${GROQ} earlier` }).click()
  expect((await part.getByLabel('1. model to ask').inputValue()) === GROQ, 'the order stays')
  await page.mouse.move(0, 0)
  await shot('settings-form')
  await part.getByRole('button', { name: 'Save' }).click()
  const row = part.getByRole('listitem', { name: 'anthropic/*' })
  await row.getByText(new RegExp(`then ${GROQ}, then ${GPT}`)).waitFor()
  await shot('settings')

  await row.getByRole('button', { name: 'Change' }).click()
  await part.getByRole('button', { name: `Do not ask ${GROQ}` }).click()
  await part.getByRole('button', { name: 'Save' }).click()
  await row.getByText(GROQ).waitFor({ state: 'detached' })
  await row.getByText(GPT).waitFor()

  await asked('down')
  await page.goto(new URL(`/projects/${project}`, link).href)
  const input = page.getByLabel('Message to the agent').first()
  await input.fill('work on the shop')
  await input.press('Enter')
  await page
    .getByText(`${GPT} answers in place of anthropic/claude-opus-4-6, which cannot be had now.`)
    .first()
    .waitFor()
  await page.getByText('All of it is done').first().waitFor()
  await shot('chat')

  await page.keyboard.press('Alt+u')
  const panel = page.getByLabel('Cost panel')
  await panel.getByText('Models', { exact: true }).click()
  await panel.getByRole('row').filter({ hasText: 'fake-1' }).waitFor()
  await shot('cost')
  const own = panel.getByRole('region', { name: 'Fallbacks' })
  const here = own.getByRole('listitem', { name: 'anthropic/*' })
  await here.getByText('set for all projects').waitFor()
  await here.getByRole('button', { name: 'Not here' }).click()
  await here.getByText(': nobody').waitFor()
  await here.scrollIntoViewIfNeeded()
  await shot('project')
  await asked('nobody')
  await here.getByRole('button', { name: 'Remove' }).click()
  await here.getByText('set for all projects').waitFor()

  await page.goto(new URL('/settings#fallbacks', link).href)
  await row.getByRole('button', { name: 'Remove' }).click()
  await part.getByText('No model has another to stand in for it').waitFor()
})
