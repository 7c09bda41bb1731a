// Which skills a command that is being typed may mean.

/** Shown at once. */
const SKILLS_MAX = 6

/** Those whose name holds what was typed behind `/` or `/skill:`, the ones that begin with it first. */
export function matchingSkills<S extends { name: string }>(
  text: string,
  skills: readonly S[],
): readonly S[] {
  const typed = /^\/(?:skill:)?([\w.-]*)$/.exec(text)?.[1]?.toLowerCase()
  if (typed === undefined) return []
  // `/sk` may be the word itself.
  const part = 'skill'.startsWith(typed) && !text.startsWith('/skill:') ? '' : typed
  const begins = ({ name }: S) => name.toLowerCase().startsWith(part)
  return skills
    .filter(({ name }) => name.toLowerCase().includes(part))
    .toSorted((a, b) => Number(begins(b)) - Number(begins(a)))
    .slice(0, SKILLS_MAX)
}
