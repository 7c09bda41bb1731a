// The real Pi at a session's file: `node session.mjs PI {write DIR | read FILE | append FILE}`. Prints where it
// stands, and what its model would see, one line for each message.
const [pi, what, where] = process.argv.slice(2)
const { SessionManager } = await import(pi)

const text = (content) =>
  typeof content === 'string'
    ? content
    : content.filter((block) => block.type === 'text').map((block) => block.text).join('\n')
const answer = (content, stopReason = 'stop') => ({
  role: 'assistant',
  content,
  api: 'anthropic-messages',
  provider: 'anthropic',
  model: 'claude-opus-4-5',
  usage: { input: 10, output: 5, cacheRead: 3, cacheWrite: 2, totalTokens: 20,
    cost: { input: 0.1, output: 0.2, cacheRead: 0, cacheWrite: 0, total: 0.3 } },
  stopReason,
  timestamp: 1772359202000,
})
const user = (content) => ({ role: 'user', content, timestamp: 1772359201000 })
const result = (toolCallId, content) => ({ role: 'toolResult', toolCallId, toolName: 'bash',
  content: [{ type: 'text', text: content }], details: { exitCode: 0, newer: [1, null] }, isError: false,
  timestamp: 1772359203000 })
const bash = (command, excludeFromContext) => ({ role: 'bashExecution', command, output: 'out', exitCode: 0,
  cancelled: false, truncated: false, timestamp: 1772359204000, excludeFromContext })

function told(sessions) {
  const { messages, model, thinkingLevel } = sessions.buildSessionContext()
  const lines = []
  for (const message of messages) {
    const { role } = message
    if (role === 'system' || message.excludeFromContext) continue
    if (role === 'bashExecution') lines.push(`custom Ran \`${message.command}\``)
    else if (role.endsWith('Summary')) lines.push(`${role} ${message.summary}`)
    else lines.push(`${role} ${text(message.content)}`)
  }
  const labels = sessions.getEntries().filter((e) => sessions.getLabel(e.id))
  return {
    file: sessions.getSessionFile(),
    leaf: sessions.getLeafId(),
    model: model.modelId,
    thinkingLevel,
    name: sessions.getSessionName() ?? null,
    labels: labels.map((e) => `${e.id} ${sessions.getLabel(e.id)}`),
    parent: sessions.getHeader().parentSession ?? null,
    lines,
  }
}

if (what === 'write') {
  const s = SessionManager.create('/home/project', where)
  s.appendModelChange('anthropic', 'claude-opus-4-5')
  s.appendThinkingLevelChange('high')
  s.appendMessage({ role: 'system', content: 'You are Pi.', sections: { tools: 'some', gone: null },
    toolsAdded: [], toolsRemoved: ['x'], timestamp: 1772359200000 })
  const first = s.appendMessage(user('first wish'))
  s.appendMessage(answer([{ type: 'text', text: 'first answer' }]))
  const second = s.appendMessage(user([{ type: 'text', text: 'second\u2028wish' },
    { type: 'image', data: 'aGk=', mimeType: 'image/png' }]))
  s.appendMessage(answer([{ type: 'thinking', thinking: 'hm', thinkingSignature: 'c2ln' },
    { type: 'text', text: 'looks' },
    { type: 'toolCall', id: 't1', name: 'bash', arguments: { command: 'ls', extra: { deep: [1] } } },
    { type: 'toolCall', id: 't2', name: 'bash', arguments: {} }], 'toolUse'))
  const long = s.appendMessage(result('t1', 'long output'))
  s.appendMessage(result('t2', 'other output'))
  s.appendMessage(bash('pwd', false))
  s.appendMessage(bash('secret', true))
  s.appendUsage('cache_warm', 'anthropic', 'claude-opus-4-5', answer([]).usage, 'a note')
  s.appendCustomEntry('theirs', { kept: [null, 1.5, 'x'] })
  s.appendCustomMessageEntry('ext', 'remember this', false, { more: true })
  const omitted = s.appendMessage(user('never mind'))
  s.appendContextEdit(long, { content: 'short' })
  s.appendContextEdit(omitted, null)
  s.appendLabelChange(first, 'begin')
  s.appendLabelChange(second, 'gone')
  s.appendLabelChange(second, undefined)
  s.appendSessionInfo('Their name')
  s.appendCompaction('what was', second, 1234, { readFiles: ['r'], modifiedFiles: ['m'] }, false,
    answer([]).usage)
  const here = s.appendMessage(answer([{ type: 'text', text: 'after the summary' }]))
  s.appendMessage(user('a side way'))
  s.appendMessage(answer([{ type: 'text', text: 'was tried' }]))
  s.branchWithSummary(here, 'the side way failed', { readFiles: [], modifiedFiles: [] })
  console.log(JSON.stringify(told(s)))
} else {
  const s = SessionManager.open(where)
  if (what === 'append') {
    s.appendMessage(user('Pi again'))
    s.appendMessage(answer([{ type: 'text', text: 'goes on' }]))
  }
  console.log(JSON.stringify(told(s)))
}
