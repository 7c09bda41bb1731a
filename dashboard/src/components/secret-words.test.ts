import { expect, test } from 'vitest'
import { nameFault, pasted, valueFault } from './secret-words'

test('names are those of variables', () => {
  for (const name of ['A', 'STRIPE_KEY', '_x9']) expect(nameFault(name)).toBeNull()
  for (const name of ['', '9A', 'A B', 'A-B', 'Ä', 'A'.repeat(101)]) {
    expect(nameFault(name)).not.toBeNull()
  }
})

test('a value may have lines, and loses the break that was copied along', () => {
  expect(pasted('a\nb\r\n')).toBe('a\nb')
  expect(valueFault('a\nb')).toBeNull()
  expect(valueFault('')).not.toBeNull()
  expect(valueFault('ä'.repeat(16 * 1024 + 1))).not.toBeNull()
})
