// Rules for what the agent may do by itself, in words.
import type { Rule, RuleAction } from '@/api/bridge-types'

export const ACTIONS: readonly { value: RuleAction; label: string }[] = [
  { value: 'ask', label: 'Ask' },
  { value: 'deny', label: 'Deny' },
  { value: 'allow', label: 'Allow' },
]

/** The agent's own tools, as rules name them. */
export const TOOLS = [
  'bash',
  'write',
  'edit',
  'apply_patch',
  'read',
  'grep',
  'find',
  'ls',
  'web_fetch',
  'process',
  'task',
  '*',
]

/** What is wanted most often, each as the rules that say it. */
export const PRESETS: readonly { label: string; rules: readonly Rule[] }[] = [
  { label: 'Ask before any command', rules: [{ tool: 'bash', action: 'ask' }] },
  {
    label: 'Ask before it changes a file',
    rules: ['write', 'edit', 'apply_patch'].map((tool) => ({ tool, action: 'ask' })),
  },
  {
    label: 'Ask before it pushes',
    rules: [{ tool: 'bash', argument: 'git push *', action: 'ask' }],
  },
  { label: 'Ask before it deletes', rules: [{ tool: 'bash', argument: 'rm *', action: 'ask' }] },
  { label: 'Ask before tools of servers', rules: [{ tool: '*__*', action: 'ask' }] },
]

/** What the second pattern of a rule is held against, for a tool. */
export function aboutOf(tool: string): { label: string; example: string } {
  switch (tool) {
    case 'bash':
      return { label: 'Command', example: 'git push *' }
    case 'read':
    case 'write':
    case 'edit':
    case 'apply_patch':
    case 'ls':
    case 'grep':
    case 'find':
      return { label: 'Path', example: 'secrets/*' }
    case 'web_fetch':
      return { label: 'Address', example: 'https://example.com/*' }
    default:
      return { label: 'What it is about', example: '*production*' }
  }
}

const VERBS: Record<RuleAction, string> = {
  ask: 'You are asked before',
  deny: 'It may not use',
  allow: 'It may use',
}

/** `You are asked before bash is used for git push *`: what the rule comes to. */
export function ruleWords({ tool, argument, action }: Rule): string {
  const what = tool === '*' ? 'any tool' : tool
  const about = argument ? ` for ${argument}` : ''
  return `${VERBS[action]} ${what}${action === 'ask' ? ` is used${about}` : about}`
}

const covers = (wide: string | undefined, narrow: string | undefined): boolean =>
  wide === undefined || wide === '*' || wide === narrow

/** The place of an earlier rule that fits whatever this one fits: then it never counts. */
export function shadowedBy(rules: readonly Rule[], at: number): number | null {
  const rule = rules[at]
  const found = rules.findIndex(
    (each, place) =>
      place < at && covers(each.tool, rule?.tool) && covers(each.argument, rule?.argument),
  )
  return found < 0 ? null : found
}

/** The rule without what was left empty. */
export function tidyRule({ tool, argument, action, reason }: Rule): Rule {
  return {
    tool: tool.trim(),
    ...(argument?.trim() ? { argument: argument.trim() } : {}),
    action,
    ...(reason?.trim() ? { reason: reason.trim() } : {}),
  }
}
