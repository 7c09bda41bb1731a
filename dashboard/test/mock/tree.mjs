// Conversations of the test server as trees, and the decisions on their plans.
import { textOf } from './project.mjs'

/** Goes to an entry: before a message of the person, else behind it. */
function navigate(project, session, entryId, summarize) {
  const all = [...session.messages, ...session.left]
  const target = all.find((each) => each.entryId === entryId)
  if (!target) return null
  const byId = new Map(all.map((each) => [each.entryId, each]))
  const path = []
  const said = target.message.role === 'user'
  for (let at = said ? byId.get(target.parentId) : target; at; at = byId.get(at.parentId))
    path.unshift(at)
  const fromEntryId = session.messages.at(-1)?.entryId ?? null
  session.messages = path
  session.left = all.filter((each) => !path.includes(each))
  if (summarize) {
    const reason = 'branch'
    project.emit('compaction_start', session.id, { reason })
    const end = { reason, summary: null, tokensBefore: 0, errorMessage: null }
    project.emit('compaction_end', session.id, end)
    project.add(session, { role: 'branchSummary', summary: 'What was tried there did not help.' })
  }
  const toEntryId = path.at(-1)?.entryId ?? null
  const moved = { sessionId: session.id, fromEntryId, toEntryId, toMessageId: toEntryId }
  project.emit('navigated', session.id, { sessions: [moved] })
  return { entryId: toEntryId, text: said ? textOf(target.message.content) : null }
}

function treeOf(project, session) {
  const entries = [...session.messages, ...session.left].toSorted(
    (a, b) => a.message.timestamp - b.message.timestamp,
  )
  return {
    sessionId: session.id,
    parentSession: null,
    leafId: session.messages.at(-1)?.entryId ?? null,
    entries: entries.map(({ entryId, parentId, message }) => ({
      id: entryId,
      parentId,
      kind: 'message',
      role: message.role,
      text: (textOf(message.content) ?? '').slice(0, 200),
      label: session.labels.get(entryId) ?? null,
      timestamp: message.timestamp,
      onPath: session.messages.some((each) => each.entryId === entryId),
    })),
    next: null,
    seq: project.seq,
  }
}

/** A conversation of its own up to a message of the person. */
function copyUpTo(project, session, entryId) {
  const at = session.messages.findIndex((each) => each.entryId === entryId)
  if (at < 0) return null
  const id = project.newSession(session.name)
  project.session(id).messages = session.messages.slice(0, at)
  return { sessionId: id, text: textOf(session.messages[at].message.content), cancelled: false }
}

/** A conversation as a tree, and its plan. */
export function treeRoute({ project, agent, session, verb, body, response, rpc, fail }) {
  const missing = () => fail(404, 'not_found', 'The conversation has no such entry.')
  const busy = () => session.run && verb !== 'label' && verb !== 'mode'
  switch (verb) {
    case 'tree':
      return rpc(treeOf(project, session))
    case 'export.html':
      response.writeHead(200, {
        'content-type': 'text/html; charset=utf-8',
        'content-disposition': `attachment; filename="conversation-${session.id}.html"`,
      })
      return response.end('<!doctype html><title>Conversation</title>')
    case 'label':
      if (body.label) session.labels.set(body.entryId, body.label)
      else session.labels.delete(body.entryId)
      project.emit('label_change', session.id, { targetId: body.entryId, label: body.label })
      return rpc({ entryId: body.entryId, label: body.label })
    case 'mode':
      project.setMode(session, body.mode)
      return rpc({ sessionId: session.id, mode: body.mode })
    default:
  }
  if (busy())
    return fail(409, 'busy', 'the agent is working: wait until it has ended, or stop it first')
  if (verb === 'navigate') {
    const arrived = navigate(project, session, body.entryId, body.summarize)
    return arrived ? rpc({ sessionId: session.id, ...arrived }) : missing()
  }
  if (verb === 'fork') {
    const made = copyUpTo(project, session, body.entryId)
    return made ? rpc(made) : missing()
  }
  if (session.plan?.planId !== body.planId || session.planState === 'approved')
    return fail(409, 'no_plan', 'no such plan waits for an answer')
  if (body.action === 'reject') {
    if (body.reason) agent.prompt(session, body.reason)
    project.settle(session, 'rejected')
    return rpc({ sessionId: session.id, entryId: null })
  }
  if (body.plan) project.propose(session, body.plan, session.plan.planId, 'edited')
  session.todos = session.plan.todos.map(({ title }) => ({ content: title, status: 'pending' }))
  const titles = session.plan.todos.map((todo, n) => `${n + 1}. ${todo.title}`)
  agent.prompt(session, `Carry out this plan. It is approved.\n\n${titles.join('\n')}`)
  project.settle(session, 'approved')
  project.setMode(session, 'build')
  return rpc({ sessionId: session.id, planId: session.plan.planId, entryId: null })
}
