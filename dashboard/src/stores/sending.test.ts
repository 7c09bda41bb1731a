import { expect, test } from 'vitest'
import { forgetName, nameOf, rename, sendingOf } from './sending'

test('a message keeps its name until it was taken or given up', () => {
  const name = nameOf('p:s', 'hello', 's')
  expect(name).toMatch(/^[0-9a-f]{32}$/)
  expect(nameOf('p:s', 'hello', 's')).toBe(name)
  expect(nameOf('p:t', 'hello', 't')).not.toBe(name)
  expect(nameOf('p:s', 'hello', 's')).toBe(name)
  forgetName('p:s')
  expect(sendingOf('p:s')).toBeNull()
  expect(nameOf('p:s', 'hello', 's')).not.toBe(name)
})

test('other words, or another conversation, are another message', () => {
  const name = nameOf('p:new', 'hello', 'a')
  expect(nameOf('p:new', 'hello', 'b')).not.toBe(name)
  const other = nameOf('p:new', 'bye', 'b')
  expect(sendingOf('p:new')).toEqual({ key: other, text: 'bye', sessionId: 'b' })
  rename('p:new')
  expect(sendingOf('p:new')?.key).not.toBe(other)
})

test('what waited comes back once, with whatever is taken first', () => {
  nameOf('p:w', 'now', 's', 'later')
  nameOf('p:w', 'now', 's')
  nameOf('p:w', 'rather this', 's', 'and that')
  expect(forgetName('p:w')).toBe('later\n\nand that')
  expect(forgetName('p:w')).toBeNull()
})
