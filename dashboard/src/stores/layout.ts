// Where panels lie, per project and form of the window. The dock's own JSON is wrapped in a version
// of ours: another version is not read, and the default layout comes back.
import { load, save } from '@/util/storage'

/** Raise when the panels' kinds or parameters change their meaning. */
const VERSION = 2

export type Form = 'wide' | 'narrow'

const key = (project: string, form: Form) => `toft.layout.${project}.${form}`

export function loadLayout(project: string, form: Form): unknown {
  return load<unknown>(key(project, form), VERSION)
}

export function saveLayout(project: string, form: Form, layout: unknown): void {
  save(key(project, form), VERSION, layout)
}
