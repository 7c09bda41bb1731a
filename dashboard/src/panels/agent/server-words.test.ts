import { expect, test } from 'vitest'
import type { McpState } from '@/api/mcp'
import { serverLook, signInWay } from './server-words'

test('a sign-in is offered where there can be one, and asked for where there must', () => {
  const http = { transport: 'http', url: 'https://a.example/mcp', disabled: false } as const
  const check = (
    state: McpState,
    connection: 'connected' | 'ended' | 'missing' | null,
    way: ReturnType<typeof signInWay>,
    of: Partial<Parameters<typeof signInWay>[0]> = {},
  ) => expect(signInWay({ ...http, state, ...of }, connection && { state: connection })).toBe(way)
  check('off', null, 'offer')
  check('failed', null, 'offer')
  check('ready', null, null)
  check('needs_sign_in', null, 'connect')
  check('ready', 'connected', 'disconnect')
  check('off', 'connected', 'disconnect')
  check('needs_sign_in', 'connected', 'connect')
  check('ready', 'ended', 'connect')
  check('off', 'missing', 'connect')
  check('needs_sign_in', null, null, { disabled: true })
  check('failed', null, null, { transport: 'stdio', url: null })
  check('failed', null, null, { url: 'http://a.example/mcp' })
})

test('what was switched off is told before how it stands', () => {
  expect(serverLook({ state: 'off', disabled: true }).word).toBe('switched off')
  expect(serverLook({ state: 'off', disabled: false }).word).toBe('starts when it is needed')
})
