import { expect, test } from 'vitest'
import { aroundPlan } from './answer-text'

const PLAN = '{"summary":"all","todos":[{"title":"one","acceptanceCriteria":["a",3]},{"no":1}]}'
const READ = { summary: 'all', todos: [{ id: '1', title: 'one', acceptanceCriteria: ['a'] }] }

test('a plan in a fence is taken out of the words around it', () => {
  expect(aroundPlan(`First.\n\n\`\`\`json\n${PLAN}\n\`\`\`\n\nLast.`)).toEqual({
    before: 'First.',
    plan: READ,
    after: 'Last.',
  })
  expect(aroundPlan(`\n${PLAN}\n`)).toEqual({ before: '', plan: READ, after: '' })
})

test('what is no plan stays as it is', () => {
  const other = [
    'words',
    '```json\n{"a":1}\n```',
    '```json\n{"summary":"s","todos":[',
    '{"summary":',
  ]
  other.push('```json\n{"summary":"s","todos":[]}\n```', '```js\nconst a = {}\n```')
  for (const text of other) expect(aroundPlan(text), text).toBeNull()
})
