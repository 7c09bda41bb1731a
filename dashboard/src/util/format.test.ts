import { expect, test } from 'vitest'
import { bytes, count, duration, money, plural, relative } from './format'

test('durations below a minute have one decimal', () => {
  expect(duration(0)).toBe('0 ms')
  expect(duration(999)).toBe('999 ms')
  expect(duration(1000)).toBe('1.0 s')
  expect(duration(59_940)).toBe('59.9 s')
  expect(duration(59_980)).toBe('1 min 00 s')
  expect(duration(64_000)).toBe('1 min 04 s')
  expect(duration(7_500_000)).toBe('2 h 05 min')
})

test('sizes are binary', () => {
  expect(bytes(1023)).toBe('1023 B')
  expect(bytes(1536)).toBe('1.5 KiB')
  expect(bytes(4 * 2 ** 30)).toBe('4.0 GiB')
  expect(bytes(84 * 2 ** 20)).toBe('84 MiB')
})

test('money has a currency and is not rounded to nothing', () => {
  expect(money(0)).toBe('US$ 0')
  expect(money(0.0004)).toBe('under US$ 0.001')
  expect(money(0.0094)).toBe('US$ 0.009')
  expect(money(12.345)).toBe('US$ 12.35')
})

test('counts are short', () => {
  expect(count(999)).toBe('999')
  expect(count(1000)).toBe('1k')
  expect(count(16_460)).toBe('16.5k')
  expect(count(200_000)).toBe('200k')
  expect(count(1_048_576)).toBe('1M')
})

test('times are relative', () => {
  const now = Date.UTC(2026, 10, 21, 12)
  expect(relative(now - 10_000, now)).toBe('now')
  expect(relative(now - 240_000, now)).toBe('4 min ago')
  expect(relative(now - 3 * 3_600_000, now)).toBe('3 h ago')
  expect(relative(now - 26 * 3_600_000, now)).toBe('yesterday')
  expect(relative(now - 9 * 86_400_000, now)).toBe('9 days ago')
})

test('one is not many', () => {
  expect(plural(1, 'entry', 'entries')).toBe('1 entry')
  expect(plural(0, 'line')).toBe('0 lines')
})
