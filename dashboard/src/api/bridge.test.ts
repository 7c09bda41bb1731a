import { afterEach, expect, test, vi } from 'vitest'
import { bridge } from './bridge'

afterEach(() => vi.restoreAllMocks())

test('what the model has to answer for is waited for longer than other calls', async () => {
  const waits = vi.spyOn(AbortSignal, 'timeout')
  vi.spyOn(globalThis, 'fetch').mockImplementation(() =>
    Promise.resolve(Response.json({ success: true, data: {} })),
  )
  const calls = bridge('p')
  await calls.compact('s')
  await calls.navigate('s', 'e', true)
  await calls.navigate('s', 'e', false)
  expect(waits.mock.calls.map(([ms]) => ms)).toEqual([300_000, 300_000, 60_000])
})
