// The server's own routes, one function each.
import type { Operations } from './generated'
import { call } from './http'
import type { EgressSetting, Image } from './machine-types'
import type {
  Doctor,
  KeysFile,
  ModelsFile,
  Machine,
  Me,
  ModelList,
  Project,
  Provider,
  Settings,
  User,
} from './types'

const seg = encodeURIComponent

export const server = {
  me: () => call<Me>('GET', '/v1/me'),
  updateMe: (change: Operations['patchMe']['body']) =>
    call<{ user: User }>('PATCH', '/v1/me', change),
  signIn: (email: string, password: string) =>
    call<{ user: User }>('POST', '/v1/auth/password', { email, password }),
  signOut: () => call<object>('POST', '/v1/auth/sign-out', {}),

  projects: () => call<Project[]>('GET', '/v1/projects?limit=200'),
  project: (id: string) => call<Project>('GET', `/v1/projects/${seg(id)}`),
  createProject: (name: string, of: { image?: string; egress?: Partial<EgressSetting> } = {}) =>
    call<Project>('POST', '/v1/projects', { name, ...of }),
  images: () =>
    call<Image[] | { images: Image[] }>('GET', '/v1/images').then((list) =>
      Array.isArray(list) ? list : list.images,
    ),
  renameProject: (id: string, name: string) =>
    call<Project>('PATCH', `/v1/projects/${seg(id)}`, { name }),
  deleteProject: (id: string) => call<object>('DELETE', `/v1/projects/${seg(id)}`),

  machine: (id: string) => call<Machine>('GET', `/v1/projects/${seg(id)}/machine`),
  start: (id: string) => call<Machine>('POST', `/v1/projects/${seg(id)}/start`, {}),
  stop: (id: string) => call<Machine>('POST', `/v1/projects/${seg(id)}/stop`, {}),
  wake: (id: string) => call<Machine>('POST', `/v1/projects/${seg(id)}/wake`, {}),
  preview: (id: string, port: number | null) =>
    call<{ url: string; expiresAt: string }>('POST', `/v1/projects/${seg(id)}/preview`, { port }),

  settings: () => call<Settings>('GET', '/v1/settings'),
  updateSettings: (change: Operations['putSettings']['body']) =>
    call<Settings>('PUT', '/v1/settings', change),
  providers: () => call<Provider[]>('GET', '/v1/providers'),
  setKey: (id: string, key: string) =>
    call<Provider>('PUT', `/v1/providers/${seg(id)}/key`, { key }),
  removeKey: (id: string) => call<Provider>('DELETE', `/v1/providers/${seg(id)}/key`),
  testProvider: (id: string) =>
    call<{ ok: boolean; message: string; latencyMs: number }>(
      'POST',
      `/v1/providers/${seg(id)}/test`,
      {},
    ),
  keysFile: () => call<KeysFile>('GET', '/v1/keys-file'),
  modelsFile: () => call<ModelsFile>('GET', '/v1/models-file'),
  models: () => call<ModelList>('GET', '/v1/models'),
  doctor: () => call<Doctor>('GET', '/v1/doctor'),
}
