// Runs in a real Chromium: one is asked for and looked at with all that it left, two are asked for and compared, one
// of these is kept. Made by the test: `{project}`. Prints `compared` when both candidates are there, and waits for a
// line before it keeps the second.
import { begin, expect, made, signIn } from './chromium.mjs'

const { page, tell } = await begin({ strict: true })
const answer = new Promise((heard) => process.stdin.once('data', heard))

await tell(async () => {
  await signIn(page, made.project)
  await page.keyboard.press('Alt+r')
  const panel = page.getByLabel('Runs panel')
  const form = page.getByRole('dialog', { name: 'New run' })
  const status = (word) => panel.getByRole('status').filter({ hasText: word }).waitFor()

  // One run, to its end, with everything that it left.
  await panel.getByRole('button', { name: 'New run' }).first().click()
  await form.getByLabel('Prompt').fill('Write down the beds')
  await form.getByRole('button', { name: 'Start' }).click()
  await panel.getByRole('heading', { name: 'Run 1' }).waitFor()
  await status('Done')
  await panel.getByRole('region', { name: 'Plan' }).getByText('Write beds.txt').waitFor()
  await panel.getByRole('region', { name: 'Output' }).getByText('The beds are written').waitFor()
  await panel.getByRole('log').getByText('Committed as').waitFor()
  await panel.getByText(/^US\$ /).first().waitFor()
  const receipts = panel.getByRole('region', { name: 'Receipts' })
  await receipts.getByText('make test', { exact: false }).first().waitFor()
  await receipts.getByText(/checks? passed/).waitFor()
  const changes = panel.getByRole('region', { name: 'Changes' })
  await changes.getByRole('button', { name: /beds\.txt/ }).click()
  await changes.getByText(/^[0-9a-f]{8}-[0-9a-f]{4}-/).first().waitFor()
  const [workspace] = await Promise.all([
    page.waitForEvent('download'),
    panel.getByRole('link', { name: 'Workspace' }).click(),
  ])
  expect(/^run-.*-workspace\.zip$/.test(workspace.suggestedFilename()), 'the workspace has a name')
  await panel.getByRole('button', { name: 'All runs' }).click()
  await panel.getByRole('list', { name: 'Runs' }).getByText('Write down the beds').waitFor()

  // The same twice, side by side.
  await panel.getByRole('button', { name: 'New run' }).first().click()
  await form.getByLabel('Prompt').fill('Write them down again')
  await form.getByRole('radiogroup', { name: 'How many' }).getByText('2', { exact: true }).click()
  await form.getByRole('button', { name: 'Start' }).click()
  await panel.getByRole('heading', { name: 'Compare 2 runs' }).waitFor()
  await status('Keep one')
  const column = (n) => panel.getByRole('listitem', { name: `Candidate ${n}`, exact: true })
  for (const n of [1, 2]) {
    await column(n).getByText('Done', { exact: true }).waitFor()
    // A line more in the one file that differs: the Makefile is as the run before left it.
    await column(n).getByText(/^1 file, \+1$/).waitFor()
    await column(n).getByRole('img', { name: 'passed' }).first().waitFor()
    await column(n).getByText(/^US\$ /).waitFor()
    await column(n).getByText('The beds are written').waitFor()
  }
  await panel.getByRole('button', { name: /beds\.txt/ }).click()
  const lines = []
  for (const n of [1, 2]) {
    const file = panel.getByRole('region', { name: `beds.txt, candidate ${n}` })
    await file.getByText(/^[0-9a-f]{8}-[0-9a-f]{4}-/).last().waitFor()
    lines.push(await file.getByText(/^[0-9a-f]{8}-[0-9a-f]{4}-/).last().textContent())
  }
  expect(lines[0] !== lines[1], 'each candidate wrote its own line')

  // Into a copy, and back.
  await column(2).getByRole('button', { name: 'Open the conversation of candidate 2' }).click()
  await page.getByText('This is a candidate’s copy of the project').waitFor()
  await page.getByRole('article').getByText('The beds are written', { exact: false }).first().waitFor()
  await page.getByRole('button', { name: 'Back to the comparison' }).click()
  await panel.getByRole('heading', { name: 'Compare 2 runs' }).waitFor()
  await column(2).getByText('Done', { exact: true }).waitFor()

  console.log('compared')
  await answer
  await column(2).getByRole('button', { name: 'Keep candidate 2…' }).click()
  await page.getByRole('dialog').getByText('The other candidate is deleted for good').waitFor()
  await page.getByRole('dialog').getByRole('button', { name: 'Keep candidate 2' }).click()
  await status('Kept candidate 2')
  await column(1).getByText('Deleted, with all that it held.').waitFor()
  await panel.getByRole('button', { name: 'Show its run' }).click()
  await panel.getByRole('heading', { name: 'Run 2' }).waitFor()
  await status('Done')
  await panel.getByRole('button', { name: 'All runs' }).click()
  await panel.getByText('1 comparison decided').waitFor()

  // The file is the kept one's, where a person looks for it.
  await page.keyboard.press('Alt+f')
  const files = page.getByLabel('Files panel')
  await files.getByText('beds.txt').first().click()
  await files.getByText(lines[1], { exact: false }).first().waitFor()
})
