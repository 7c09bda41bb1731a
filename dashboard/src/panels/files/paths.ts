// Paths inside a machine.

export function joinPath(folder: string, name: string): string {
  return folder.endsWith('/') ? folder + name : `${folder}/${name}`
}

/** Agents write paths relative to the project's folder. */
export function absolutePath(root: string, path: string): string {
  return path.startsWith('/') ? path : joinPath(root, path.replace(/^\.\//, ''))
}

function extensionOf(path: string): string {
  const name = path.split('/').at(-1) ?? ''
  const dot = name.lastIndexOf('.')
  return dot > 0 ? name.slice(dot + 1).toLowerCase() : ''
}

const IMAGES = new Set(['png', 'jpg', 'jpeg', 'gif', 'webp', 'avif', 'bmp', 'ico'])
const MARKDOWN = new Set(['md', 'markdown', 'mdx'])

export type Look = 'image' | 'markdown' | 'text'

/** How a file is shown; whether text is text shows only when it is read. */
export function lookOf(path: string): Look {
  const extension = extensionOf(path)
  if (IMAGES.has(extension)) return 'image'
  return MARKDOWN.has(extension) ? 'markdown' : 'text'
}

/** Bytes that no text has, near the start. */
const PROBE_CHARS = 4096

export function isBinary(text: string): boolean {
  const probe = text.slice(0, PROBE_CHARS)
  return probe.includes('\0') || (probe.match(/\uFFFD/g)?.length ?? 0) > probe.length / 50 + 4
}
