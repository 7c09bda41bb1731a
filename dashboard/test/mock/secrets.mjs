// Secrets of a project of the test server. It keeps the values, so that a test can say where they went.

/** What ends a question for secrets: they are all there. */
export const SET = 'Set.'

/** An agent that needs some. */
export async function needy(agent, session) {
  await agent.turn(session, [
    {
      tool: 'ask_secrets',
      input: {
        names: ['STRIPE_KEY', 'STRIPE_HOOK'],
        reason: 'To take payments I need the keys of your Stripe account.',
        bindings: [{ name: 'STRIPE_KEY', hosts: ['api.stripe.com'], paths: ['/v1/*'] }],
      },
      ask: true,
    },
  ])
  await agent.turn(session, ['Payments work now.'])
}

/** What an agent proposes, by name, as it is told to people. */
export function bindingsOf(proposed = []) {
  return Object.fromEntries(
    proposed.map(({ name, hosts, methods = [], paths = [], headers = ['authorization'] }) => [
      name,
      { hosts, methods, paths, headers },
    ]),
  )
}

/** What the agent is told of what became of them. */
export function decided({ secrets }, names) {
  const bound = names.map((name) => [name, secrets.get(name).binding])
  return { set: names, brokered: Object.fromEntries(bound.filter(([, binding]) => binding)) }
}

function shown({ secrets, state }) {
  const list = [...secrets.values()].map(({ name, setAt, value, binding = null }) => ({
    name,
    kind: binding ? 'brokered' : 'environment',
    binding,
    state: value === null ? 'missing' : 'set',
    revision: 1,
    setAt,
    setBy: 'Admin',
  }))
  list.sort((a, b) => a.name.localeCompare(b.name))
  const inForce = state === 'running' || state === 'frozen' ? true : null
  return { revision: list.length, inForce, secrets: list }
}

export function secretRoute(project, method, name, body) {
  const { secrets } = project
  if (method === 'DELETE') secrets.delete(name)
  if (method === 'POST' || method === 'PUT') {
    const values = method === 'PUT' ? { [name]: body } : body.values
    if ('PATH' in values) {
      throw { status: 400, code: 'invalid_argument', message: 'This name is set by Toft itself.' }
    }
    for (const [key, { value, binding = null }] of Object.entries(values)) {
      if (binding?.headers.length === 0) binding.headers = ['authorization']
      secrets.set(key, { name: key, value, setAt: Date.now(), binding })
    }
    for (const { question } of project.sessions.values()) {
      if (question?.secrets?.every((each) => secrets.get(each)?.value)) question.answer(SET)
    }
  }
  return shown(project)
}
