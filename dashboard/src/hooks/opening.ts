// A panel that is to be open in a project that the page is just going to. Taken once, by its workspace.
import type { PanelSpec } from './dock'

let waiting: { project: string; spec: PanelSpec } | null = null

export function openIn(project: string, spec: PanelSpec): void {
  waiting = { project, spec }
}

/** What is to be open there, once. */
export function takeOpening(project: string): PanelSpec | null {
  if (waiting?.project !== project) return null
  const { spec } = waiting
  waiting = null
  return spec
}
