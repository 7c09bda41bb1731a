import { expect, test } from 'vitest'
import type { EgressLine } from '@/api/machine-types'
import { echoWords, ruleWords } from './rule-words'

const line = (more: Partial<EgressLine>): EgressLine => ({
  lastAt: null,
  count: 1,
  seq: 1,
  at: '2026-01-01T00:00:00Z',
  via: 'connect',
  host: 'a.test',
  port: 443,
  verdict: 'deny',
  rule: 'not-listed',
  secrets: [],
  reason: null,
  bytesIn: 0,
  bytesOut: 0,
  durationMs: 0,
  error: null,
  allowRule: 'a.test',
  ...more,
})

test('a block says why, and a cut that it was one', () => {
  expect(ruleWords(line({}))).toContain('allow-list')
  expect(ruleWords(line({ bytesIn: 5 }))).toContain('Cut')
  expect(ruleWords(line({ rule: 'link-local', reason: 'it is link-local' }))).toBe(
    'Blocked: it is link-local.',
  )
  expect(ruleWords(line({ rule: 'new' }))).toBe('Blocked: new.')
})

test('a secret that came back is named', () => {
  const said = echoWords(line({ rule: 'secret-echoed', verdict: 'allow', secrets: ['API_KEY'] }))
  expect(said).toContain('API_KEY')
})
