import { expect, test } from 'vitest'
import { bytesText, parseBytes, parseCount, parseSpan, spanWords } from './units'

test('sizes are read as people write them', () => {
  expect(['4 GiB', '512m', '1,5g', '2 TB', '100kb', ' none ', ''].map(parseBytes)).toEqual([
    4 * 2 ** 30,
    512 * 2 ** 20,
    1.5 * 2 ** 30,
    2 * 2 ** 40,
    100 * 2 ** 10,
    null,
    null,
  ])
})

test('what cannot be meant is refused', () => {
  expect(['4', '0 MiB', 'much', '4 XB', '-1 GiB'].map(parseBytes)).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
  ])
  expect([parseCount('1.5'), parseCount('0'), parseCount('many')]).toEqual([
    undefined,
    undefined,
    undefined,
  ])
  expect([parseCount('1.5', true), parseCount('4096'), parseCount('none')]).toEqual([
    1.5,
    4096,
    null,
  ])
})

test('what is shown in a field is read back as the same number', () => {
  for (const n of [
    1,
    1023,
    4 * 2 ** 30,
    1.5 * 2 ** 30,
    768 * 2 ** 20,
    5_000_000_000,
    3 * 2 ** 40,
  ]) {
    expect(parseBytes(bytesText(n))).toBe(n)
  }
  expect(bytesText(null)).toBe('')
})

test('spans are told in the largest whole unit', () => {
  expect([300, 3600, 5400, 86_400, 45].map(spanWords)).toEqual([
    '5 minutes',
    '1 hour',
    '90 minutes',
    '1 day',
    '45 seconds',
  ])
})

test('spans are read as people write them, minutes without a unit', () => {
  expect(['20', '90s', '1.5 h', '2 days', '30 min', '', 'none'].map(parseSpan)).toEqual([
    1200,
    90,
    5400,
    172_800,
    1800,
    null,
    null,
  ])
  expect(['0', 'soon', '5 weeks', '-1'].map(parseSpan)).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
  ])
  for (const seconds of [45, 60, 5400, 86_400, 3661]) {
    expect(parseSpan(spanWords(seconds))).toBe(seconds)
  }
})
