// Shapes of the `/v1` API: the server's own types, by the names that they have here.
import type { Schemas } from './generated'

export type MachineState = Schemas['MachineState']
export type AgentStatus = Schemas['AgentStatus']
/** Beside what the server tells of a role today, `owner` and `viewer`: its store has them. */
export type User = Omit<Schemas['User'], 'role'> & {
  role: Schemas['User']['role'] | 'owner' | 'viewer'
}
export type Me = Omit<Schemas['Me'], 'user'> & { user: User }
/** Which comparison a fork belongs to is told of one that is looked at alone. */
export type Project = Schemas['Project'] & Partial<Pick<Schemas['OneProject'], 'candidateOf'>>
export type Ability = Schemas['Ability']
export type Machine = Schemas['Machine']
export type Settings = Schemas['Settings']
export type Provider = Schemas['Provider']
export type ModelsFile = Schemas['ModelsFile']
export type KeysFile = Schemas['KeysFile']
export type ModelInfo = Schemas['ModelInfo']
export type ModelList = Schemas['ModelList']
export type Doctor = Schemas['Doctor']

export const THINKING_LEVELS = ['off', 'minimal', 'low', 'medium', 'high', 'xhigh'] as const
