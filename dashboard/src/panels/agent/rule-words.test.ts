import { expect, test } from 'vitest'
import type { Rule } from '@/api/bridge-types'
import { ruleWords, shadowedBy, tidyRule } from './rule-words'

test('a rule is a sentence', () => {
  const check = (rule: Rule, words: string) => expect(ruleWords(rule)).toBe(words)
  check({ tool: 'bash', action: 'ask' }, 'You are asked before bash is used')
  check(
    { tool: 'bash', argument: 'git push *', action: 'ask' },
    'You are asked before bash is used for git push *',
  )
  check({ tool: '*', argument: '.env*', action: 'deny' }, 'It may not use any tool for .env*')
  check({ tool: 'read', action: 'allow' }, 'It may use read')
})

test('a rule below a wider one never counts', () => {
  const check = (rules: [string, string?][], shadows: (number | null)[]) => {
    const list = rules.map(([tool, argument]): Rule => ({
      tool,
      action: 'ask',
      ...(argument ? { argument } : {}),
    }))
    expect(list.map((_, at) => shadowedBy(list, at))).toEqual(shadows)
  }
  check([['bash', 'git *'], ['bash'], ['bash', 'rm *']], [null, null, 1])
  check([['*'], ['bash', 'rm *'], ['write']], [null, 0, 0])
  check(
    [
      ['bash', 'rm *'],
      ['bash', 'rm *'],
      ['write', 'rm *'],
    ],
    [null, 0, null],
  )
  check([['*', 'a'], ['bash', 'a'], ['bash']], [null, 0, null])
})

test('what was left empty is left out', () => {
  expect(tidyRule({ tool: ' bash ', argument: ' ', action: 'deny', reason: '' })).toEqual({
    tool: 'bash',
    action: 'deny',
  })
  expect(tidyRule({ tool: 'x', argument: ' a b ', action: 'ask', reason: ' why ' })).toEqual({
    tool: 'x',
    argument: 'a b',
    action: 'ask',
    reason: 'why',
  })
})
