import { describe, expect, test } from 'vitest'
import {
  harness,
  openProject,
  poll,
  project,
  untilGone,
  untilSeen,
  violations,
} from './harness.mjs'
import { withCalls } from './mock/usage.mjs'

const start = harness()

async function withCost(options) {
  const started = await start(options)
  const garden = project(started.world)
  withCalls(started.world, garden)
  return { ...started, garden }
}

describe('cost', () => {
  test('of a project is told by prompt, conversation and model, and leads to the conversation', async () => {
    const { page } = await withCost()
    await openProject(page)
    await page.keyboard.press('Alt+u')
    const panel = page.getByLabel('Cost panel')
    await panel
      .getByText(/^US\$ \d+\.\d\d and more$/)
      .first()
      .waitFor()
    await panel.getByText(/^43 calls, 1 failed/).waitFor()
    await panel.getByRole('img', { name: /^Cost by day.*the most on/ }).waitFor()
    await panel
      .getByText('The cost of 1 call is not known, and in no sum.', { exact: false })
      .waitFor()
    const header = panel.getByRole('row').filter({ hasText: 'Make the header sticky' })
    await header.getByText('US$ 1.40').waitFor()
    await panel.getByRole('row').filter({ hasText: 'Other programs' }).waitFor()
    expect(await violations(page)).toEqual([])
    await panel.getByText('Models', { exact: true }).click()
    const strange = panel.getByRole('row').filter({ hasText: 'some-new-model' })
    await strange.getByText('not known').waitFor()
    await panel.getByText('7 days', { exact: true }).click()
    await panel.getByText(/^\d\d? calls, 1 failed. Tokens/).waitFor()
    await panel.getByText('Prompts', { exact: true }).click()
    await panel.getByRole('button', { name: 'Make the header sticky' }).click()
    await untilSeen(page, page.getByLabel('Message to the agent'))
  })

  test('of all projects stands in the settings, with what is deleted and what came from outside', async () => {
    const { page } = await withCost({ path: '/settings#cost' })
    const part = page.getByRole('region', { name: 'Cost' })
    await part.getByRole('link', { name: 'Garden planner' }).waitFor()
    await part.getByText('Old shop').waitFor()
    await poll(() => part.getByRole('link', { name: 'Old shop' }).count()).toBe(0)
    await part.getByText('Programs outside', { exact: true }).waitFor()
    await part.getByText('Providers', { exact: true }).click()
    await part.getByRole('row').filter({ hasText: 'openai' }).getByText('US$ 0.90').waitFor()
    expect(await violations(page)).toEqual([])
  })

  test('stands beside how often models may be asked', async () => {
    const { page, garden } = await withCost()
    await openProject(page)
    await page.keyboard.press('Alt+u')
    const panel = page.getByLabel('Cost panel')
    const minute = panel.getByLabel('Calls a minute')
    await minute.fill('0')
    await panel.getByText('A whole number, 1 to 6000.').waitFor()
    await poll(() => panel.getByRole('button', { name: 'Set limits' }).isDisabled()).toBe(true)
    await minute.fill('30')
    await minute.press('Enter')
    await poll(() => garden.side.modelLimits).toEqual({ callsAtOnce: null, callsPerMinute: 30 })
    await untilGone(page, panel.getByRole('button', { name: /^Set(ting…| limits)$/ }))
    await minute.fill('')
    await minute.press('Enter')
    await poll(() => garden.side.modelLimits.callsPerMinute).toBe(null)
  })

  test('is bounded by a budget, and work that waits for one says so where it is', async () => {
    const { page, garden } = await withCost()
    await openProject(page)
    await page.keyboard.press('Alt+u')
    const panel = page.getByLabel('Cost panel')
    const month = panel.getByLabel('Each month, US$')
    await panel.getByText('US$ 4.20 spent; empty for none.').first().waitFor()
    await month.fill('much')
    await panel.getByText('Like 5 or 0.50; empty for none.').waitFor()
    await month.fill('4.50')
    await month.press('Enter')
    await poll(() => garden.side.budget.monthUsd).toBe(4.5)
    await panel.getByRole('meter', { name: 'Each month, US$, spent' }).waitFor()
    expect(await violations(page)).toEqual([])

    const session = garden.session()
    const why = 'The budget of this project for this month is spent: US$ 4.50 of US$ 4.50.'
    garden.emit('agent_start', session.id, {})
    garden.emit('auto_retry_start', session.id, {
      attempt: 1,
      maxAttempts: 4294967295,
      delayMs: 5000,
      errorMessage: why,
      asks: true,
    })
    await page.getByText(why).first().waitFor()
    await page.getByRole('button', { name: 'Open cost' }).waitFor()
    garden.emit('auto_retry_end', session.id, { success: true, attempt: 1, finalError: null })
    await untilGone(page, page.getByRole('button', { name: 'Open cost' }))
  })

  test('is nothing where nothing was asked', async () => {
    const { page } = await start()
    await openProject(page)
    await page.keyboard.press('Alt+u')
    await page.getByText('No model was asked in these days.', { exact: false }).waitFor()
    await page.getByText('US$ 0', { exact: true }).waitFor()
  })
})
