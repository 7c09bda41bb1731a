// The server's routes of one project's runs.
import { call } from '../http'
import type { Run, RunStatus } from './types'

const seg = encodeURIComponent

/** What is asked for. Without a model the project's choice answers. */
export interface RunAsk {
  text: string
  model: { provider: string; id: string } | null
  /** Its plan waits for a person. */
  approval: boolean
  /** It goes on in the conversation of the latest one. */
  goesOn: boolean
  /** Which backend it is worked on with; null: where the project is. */
  backend: string | null
  /** Several, each in a copy of the project: how many, or one for each model. */
  several?: number | (RunAsk['model'] & object)[]
}

/** As much as an answer to a request says of the run. */
type Accepted = Pick<Run, 'id' | 'runIndex'>

/** What became of a request: a run, or several side by side. */
export interface Asked {
  run?: string
  comparison?: string
}

/** Calls for one project. */
export function runsOf(project: string) {
  const base = `/v1/projects/${seg(project)}`
  const one = (run: string) => `${base}/runs/${seg(run)}`
  return {
    /** Latest first. */
    list: (limit: number, offset: number) =>
      call<Run[]>('GET', `${base}/runs?limit=${limit}&offset=${offset}`),
    run: (run: string) => call<Run>('GET', one(run)),
    /** Asked again under the same key it is the same one. */
    ask: async (wish: RunAsk, key: string): Promise<Asked> => {
      const { text, model, approval, goesOn, backend, several } = wish
      const how = {
        ...(model && !Array.isArray(several) ? { provider: model.provider, model: model.id } : {}),
        ...(approval ? { approval } : {}),
        ...(backend ? { workspaceBackend: backend } : {}),
      }
      if (several !== undefined) {
        const which = Array.isArray(several)
          ? { models: several.map(({ provider, id }) => ({ provider, model: id })) }
          : { n: several }
        const asked = { prompt: text, ...how, ...which }
        const { id } = await call<{ id: string }>('POST', `${base}/runs`, asked, { key })
        return { comparison: id }
      }
      if (!goesOn) {
        const asked = { prompt: text, ...how }
        return { run: (await call<Accepted>('POST', `${base}/runs`, asked, { key })).id }
      }
      const asked = { content: text, ...how }
      const { run } = await call<{ run: Accepted }>('POST', `${base}/messages`, asked, { key })
      return { run: run.id }
    },
    /** `cancelled` false: it was over before, or is not the latest. */
    cancel: (run: string) =>
      call<{ status: RunStatus; cancelled: boolean }>('POST', `${one(run)}/cancel`),
    streamUrl: (run: string) => `${one(run)}/stream`,
    workspaceUrl: (run: string) => `${one(run)}/download.zip`,
  }
}
