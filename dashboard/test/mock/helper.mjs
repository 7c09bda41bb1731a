// The helper that does the work of a task, in the scripted agent's way.

/** Does the work of a task in its own conversation. */
export async function helped(agent, child, parent, toolCallId, work) {
  const { project } = agent
  child.model = parent.model
  agent.begin(child)
  const { run } = child
  project.add(child, { role: 'user', content: work.prompt })
  let reason = 'done'
  const stopped = setInterval(() => {
    if (parent.run?.stopped && child.run) child.run.stopped = true
  }, 20)
  try {
    for (const blocks of work.turns) {
      for (const { tool } of blocks.filter((block) => block.tool)) {
        const delta = `${tool}\n`
        project.emit('tool_update', parent.id, { toolCallId, toolName: 'task', delta })
      }
      await agent.turn(child, blocks)
    }
  } catch {
    reason = 'aborted'
  }
  clearInterval(stopped)
  child.run = null
  child.status = 'idle'
  const { turns, tools, usage } = run
  const durationMs = Date.now() - run.started
  const end = { reason, usage, turns, tools, changed: [], durationMs, demo: false }
  project.emit('agent_end', child.id, end)
  const last = child.messages.findLast(({ message }) => message.role === 'assistant')
  const text = last?.message.content.find((block) => block.type === 'text')?.text ?? ''
  return {
    reason,
    text: reason === 'done' ? text : `The helper was stopped by a person.\n\n${text}`,
    details: { sessionId: child.id, reason, usage, turns, tools, durationMs },
  }
}

/** Asks a person about a call; null: the work was stopped. */
export async function askedAbout(project, session, question) {
  session.status = 'waiting'
  project.emit('question', session.id, question)
  const answer = await new Promise((given) => {
    session.question = { ...question, answer: given }
  })
  session.question = null
  session.status = 'working'
  if (answer !== null) {
    const { toolCallId, id } = question
    project.emit('answered', session.id, { toolCallId, id })
  }
  return answer
}
