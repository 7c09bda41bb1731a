import { expect, test } from 'vitest'
import { shortId } from './plain-http'

test('ids are eight hexadecimal digits and differ', () => {
  const ids = Array.from({ length: 100 }, shortId)
  expect(ids.every((id) => /^[0-9a-f]{8}$/.test(id))).toBe(true)
  expect(new Set(ids).size).toBe(100)
})
