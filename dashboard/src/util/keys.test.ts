import { expect, test } from 'vitest'
import { caps, matches, type KeyLike } from './keys'

const key = (code: string, char: string, more: Partial<KeyLike> = {}): KeyLike => ({
  code,
  key: char,
  ctrlKey: false,
  metaKey: false,
  altKey: false,
  shiftKey: false,
  ...more,
})

test('mod is Ctrl, and Cmd on a Mac', () => {
  expect(matches(key('KeyK', 'k', { ctrlKey: true }), 'mod+k', false)).toBe(true)
  expect(matches(key('KeyK', 'k', { metaKey: true }), 'mod+k', true)).toBe(true)
  expect(matches(key('KeyK', 'k', { ctrlKey: true }), 'mod+k', true)).toBe(false)
})

test('a chord with another modifier is another chord', () => {
  expect(matches(key('KeyK', 'K', { ctrlKey: true, shiftKey: true }), 'mod+k', false)).toBe(false)
  expect(matches(key('KeyK', 'k', { ctrlKey: true, metaKey: true }), 'mod+k', false)).toBe(false)
})

test('Alt on a Mac types other characters and still matches', () => {
  expect(matches(key('Digit1', '¡', { altKey: true }), 'alt+1', true)).toBe(true)
  expect(matches(key('KeyN', 'Dead', { altKey: true }), 'alt+n', true)).toBe(true)
})

test('caps are those of the keyboard', () => {
  expect(caps('mod+shift+enter', true)).toEqual(['⌘', '⇧', '↵'])
  expect(caps('mod+k', false)).toEqual(['Ctrl', 'K'])
})
