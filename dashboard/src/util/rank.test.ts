import { expect, test } from 'vitest'
import { rank } from './rank'

/** The titles that fit, the best first. */
function order(typed: string, ...titles: (string | [string, string])[]): string[] {
  return titles
    .map((each) => (typeof each === 'string' ? ([each, ''] as const) : each))
    .map(([title, more]) => ({ title, score: rank(typed, title, more) }))
    .filter(({ score }) => score > 0)
    .toSorted((a, b) => b.score - a.score)
    .map(({ title }) => title)
}

test('what begins with the typed words comes before what holds them further in', () => {
  expect(order('log', 'Dialog notes', 'Open the log', 'Log', 'Household light')).toEqual([
    'Log',
    'Open the log',
    'Dialog notes',
  ])
  expect(order('set', 'Reset the layout', 'Settings')).toEqual(['Settings', 'Reset the layout'])
})

test('scattered letters are no find', () => {
  expect(order('log', 'Household light, running')).toEqual([])
  expect(order('sign out', 'Split panel right', 'Sign out')).toEqual(['Sign out'])
})

test('every typed word must be found, in any order', () => {
  expect(order('right split', 'Split panel right', 'Split panel down')).toEqual([
    'Split panel right',
  ])
})

test('hidden words count, but less', () => {
  expect(order('shell', ['New terminal', 'shell bash console'], ['Shell scripts', ''])).toEqual([
    'Shell scripts',
    'New terminal',
  ])
})

test('a name in any script is found', () => {
  expect(order('gär', 'Gärten')).toEqual(['Gärten'])
  expect(order('庭', '庭の計画')).toEqual(['庭の計画'])
})

test('nothing typed fits nothing', () => {
  expect(rank('  ', 'Settings')).toBe(0)
})
