import { expect, test } from 'vitest'
import type { Project } from '@/api/types'
import type { Command } from '@/stores/commands'
import { paletteGroups } from './palette-list'

const project = (id: string, name: string) =>
  ({ id, name, alias: null, state: 'running', agentStatus: 'idle' }) as Project
const command = (id: string, title: string, more: Partial<Command> = {}): Command => ({
  id,
  title,
  group: 'Machine',
  run: () => {},
  ...more,
})

const PROJECTS = Array.from({ length: 8 }, (_, i) => project(`p${i}`, `Garden ${i}`))
const COMMANDS = [
  command('machine.stop', 'Stop the machine', { touches: 'All processes end.' }),
  command('project.delete', 'Delete project Garden 0', { touches: 'It is gone.' }),
  command('secret', 'Hidden', { hidden: true }),
  command('panel.log', 'Open the log', { group: 'Panels' }),
]
const list = (typed: string, current: string | null = null) =>
  paletteGroups({ typed, projects: PROJECTS, commands: COMMANDS, current })
const values = (typed: string, current: string | null = null) =>
  list(typed, current).flatMap((group) => group.entries.map((entry) => entry.value))

test('the open project is not offered, and a few of the others leave room for commands', () => {
  expect(list('', 'p0').map((group) => group.heading)).toEqual(['Projects', 'Panels', 'Machine'])
  expect(values('', 'p0').slice(0, 6)).toEqual([
    ...['p1', 'p2', 'p3', 'p4', 'p5'].map((id) => `project:${id}`),
    'command:panel.log',
  ])
  expect(values('').filter((value) => value.startsWith('project:'))).toHaveLength(8)
})

test('shortcuts stay with their projects when the open one is left out', () => {
  const [first] = list('', 'p0')[0]?.entries ?? []
  expect(first).toMatchObject({ value: 'project:p1', keys: 'alt+2' })
})

test('what destroys comes after what fits as well', () => {
  expect(values('garden 0')).toEqual(['project:p0', 'command:project.delete'])
})

test('what fits nothing lists nothing', () => {
  expect(list('zzqqx', 'p0')).toEqual([])
  expect(values('hidden')).toEqual([])
})
