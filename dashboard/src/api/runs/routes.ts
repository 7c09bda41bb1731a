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
}

/** As much as an answer to a request says of the run. */
type Accepted = Pick<Run, 'id' | 'runIndex'>

/** Calls for one project. */
export function runsOf(project: string) {
  const base = `/v1/projects/${seg(project)}`
  const one = (run: string) => `${base}/runs/${seg(run)}`
  return {
    /** Latest first. */
    list: (limit: number, offset: number) =>
      call<Run[]>('GET', `${base}/runs?limit=${limit}&offset=${offset}`),
    run: (run: string) => call<Run>('GET', one(run)),
    /** Asked again under the same key it is the same run. */
    ask: async ({ text, model, approval, goesOn }: RunAsk, key: string): Promise<Accepted> => {
      const how = {
        ...(model ? { provider: model.provider, model: model.id } : {}),
        ...(approval ? { approval } : {}),
      }
      if (!goesOn) {
        return call<Accepted>('POST', `${base}/runs`, { prompt: text, ...how }, { key })
      }
      const asked = { content: text, ...how }
      return (await call<{ run: Accepted }>('POST', `${base}/messages`, asked, { key })).run
    },
    /** `cancelled` false: it was over before, or is not the latest. */
    cancel: (run: string) =>
      call<{ status: RunStatus; cancelled: boolean }>('POST', `${one(run)}/cancel`),
    streamUrl: (run: string) => `${one(run)}/stream`,
    workspaceUrl: (run: string) => `${one(run)}/download.zip`,
  }
}
