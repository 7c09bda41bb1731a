// What people set for the agent of a project of the test server, what its files add to it, and the
// receipts of what it ran.

export function agentParts() {
  return {
    settings: { rules: [], limits: {}, autoCheck: true, checkCommand: null },
    skills: { skills: [], faults: [] },
    mcp: { servers: [], faults: [] },
    connections: [],
    extensions: [],
    receipts: [],
  }
}

/** A project whose files add to its agent. */
export function withParts(project) {
  const { parts } = project
  parts.skills = {
    skills: [
      {
        name: 'release',
        description: 'How a version of the planner is released: checks, tag, notes, upload.',
        path: '/home/project/.toft/skills/release/SKILL.md',
        source: 'project',
        disableModelInvocation: false,
      },
      {
        name: 'house-style',
        description: 'Words and forms of our texts.',
        path: '/home/toft/.agents/skills/house-style/SKILL.md',
        source: 'home',
        disableModelInvocation: true,
      },
    ],
    faults: [
      {
        path: '/home/project/.claude/skills/notes/SKILL.md',
        message: 'It has no description: write one into its front matter.',
      },
    ],
  }
  const tool = (server, name, description) => ({
    name,
    calledAs: `${server}__${name}`,
    description,
  })
  parts.mcp = {
    servers: [
      {
        name: 'weather',
        source: '.mcp.json',
        transport: 'stdio',
        url: null,
        state: 'ready',
        disabled: false,
        error: null,
        restarts: 0,
        toolCount: 2,
        tools: [
          tool('weather', 'forecast', 'The weather of the next days at a place.'),
          tool('weather', 'rain', 'How much rain fell.'),
        ],
      },
      {
        name: 'linear',
        source: '.toft/mcp.json',
        transport: 'http',
        url: 'https://mcp.linear.app/mcp',
        state: 'needs_sign_in',
        disabled: false,
        error: 'mcp.linear.app asks for a sign-in (401).',
        restarts: 1,
        toolCount: 0,
        tools: [],
      },
      {
        name: 'notes',
        source: 'extension garden',
        transport: 'stdio',
        url: null,
        state: 'failed',
        disabled: false,
        error: 'The program ended with exit code 127: notes-mcp: not found.',
        restarts: 3,
        toolCount: 0,
        tools: [],
      },
    ],
    faults: ['.mcp.json: the server "old" has neither a command nor a url.'],
  }
  parts.extensions = [
    {
      name: 'guard',
      folder: '/home/project/.toft/extensions/guard',
      description: 'Keeps migrations from being changed once they are released.',
      disabled: false,
      systemPrompt: true,
      hooks: [{ event: 'tool_call', tools: ['write', 'edit'], timeoutMs: 5000 }],
      tools: [{ name: 'migrations', description: 'Lists migrations.' }],
      servers: [],
      fault: null,
    },
    {
      name: 'old',
      folder: '/home/project/.toft/extensions/old',
      description: '',
      disabled: false,
      systemPrompt: false,
      hooks: [],
      tools: [],
      servers: [],
      fault: 'extension.json has the unknown field "hook": it is called "hooks".',
    },
  ]
}

/** Routes of the bridge; undefined when it is none. */
export function partsRoute(project, name, query) {
  const { parts } = project
  switch (name) {
    case 'GET skills':
      return parts.skills
    case 'GET mcp':
      return parts.mcp
    case 'GET extensions':
      return { extensions: parts.extensions }
    case 'GET receipts':
      return {
        receipts: parts.receipts.filter((receipt) => receipt.sessionId === query.get('sessionId')),
        more: false,
        tree: null,
      }
    default: {
      const again = /^POST mcp\/(.+)\/restart$/.exec(name)
      if (!again) return
      const server = parts.mcp.servers.find((each) => each.name === again[1])
      Object.assign(server, { state: 'starting', error: null })
      project.emit('mcp_server', null, { name: server.name, state: 'starting' })
      return { name: server.name, state: 'starting' }
    }
  }
}

/** Routes of the server for sign-ins; undefined when it is none. */
export function signInRoute(project, method, rest, body) {
  const { parts } = project
  if (`${method} ${rest}` === 'GET mcp') return { connections: parts.connections }
  const [, name, verb] = /^mcp\/([^/]+)\/(connect|disconnect)$/.exec(rest) ?? []
  if (!name || method !== 'POST') return
  const server = parts.mcp.servers.find((each) => each.name === name)
  if (verb === 'disconnect') {
    parts.connections = parts.connections.filter((each) => each.server !== name)
    return { revoked: true }
  }
  if (parts.wantsClient && !body.clientId)
    throw {
      status: 409,
      code: 'sign_in_unsupported',
      message:
        'auth.linear.app lets nobody introduce itself: give the client ID of an application.',
    }
  parts.asked = body
  return {
    authorizationUrl: 'https://auth.linear.app/authorize?state=x',
    host: 'auth.linear.app',
    serverHost: new URL(server.url).host,
    scopes: ['read', 'write'],
    expiresAt: new Date(Date.now() + 600_000).toISOString(),
  }
}

/** The person has signed in. */
export function signedIn(project, name) {
  const server = project.parts.mcp.servers.find((each) => each.name === name)
  Object.assign(server, { state: 'ready', error: null, toolCount: 1 })
  server.tools = [{ name: 'issue', calledAs: `${name}__issue`, description: 'Makes an issue.' }]
  project.parts.connections.push({
    server: name,
    url: server.url,
    host: new URL(server.url).host,
    issuer: 'https://auth.linear.app',
    scopes: ['read', 'write'],
    connectedAt: new Date().toISOString(),
    connectedBy: 'Admin',
    expiresAt: null,
    state: 'connected',
    error: null,
  })
  project.emit('mcp_server', null, { name, state: 'ready', tools: 1 })
}

/** Writes a receipt as the machine's first process would. */
export function receipt(project, session, { toolCallId, command, exitCode = 0, checks = [] }) {
  const { receipts } = project.parts
  const checked = checks.length > 0
  const made = {
    number: receipts.length + 1,
    sessionId: session.id,
    toolCallId,
    argv: ['bash', '-c', command],
    cwd: '/home/project',
    startedAt: Date.now() - 4200,
    endedAt: Date.now(),
    exitCode,
    signal: null,
    outputBytes: 120,
    outputTruncated: false,
    readOnly: false,
    checks,
    stamp: checked ? 'taken' : 'none',
    tree: checked
      ? { hash: `sha256:${'3f1c2ab9'.repeat(8)}`, files: 42, bytes: 81_920, changed: false }
      : null,
    stale: checked ? false : null,
  }
  receipts.push(made)
  if (checked) project.emit('receipt', session.id, made)
  return made
}

/** An agent that tests what it did, and says so; also what it did not do. */
export async function tested(agent, session) {
  const { project } = agent
  const command = 'npm test'
  await agent.turn(session, [
    'I run the tests.',
    { tool: 'bash', input: { command }, output: '12 passed', details: { exitCode: 0 } },
    {
      tool: 'bash',
      input: { command: 'git status --short' },
      output: '',
      details: { exitCode: 0 },
    },
  ])
  const calls = session.messages
    .filter(({ message }) => message.role === 'toolResult')
    .map(({ message }) => message.toolCallId)
  const checks = [{ kind: 'test', command, decides: true }]
  const { number } = receipt(project, session, { toolCallId: calls.at(-2), command, checks })
  receipt(project, session, { toolCallId: calls.at(-1), command: 'git status --short' })
  const text = 'It is done: **all tests pass**, and the linter is clean.'
  await agent.turn(session, [text])
  const { entryId } = session.messages.at(-1)
  const claim = (said, of) => {
    const start = text.indexOf(said)
    return {
      text: said,
      messageId: entryId,
      contentIndex: 0,
      start,
      end: start + said.length,
      ...of,
    }
  }
  session.run.claims = [
    claim('all tests pass', { kind: 'test', receipt: number, proof: 'passed' }),
    claim('the linter is clean', { kind: 'lint', receipt: null, proof: 'none' }),
  ]
}

/** An extension of the project fails. */
export async function extended(agent, session) {
  agent.project.emit('extension_error', session.id, {
    extension: 'guard',
    hook: 'tool_call',
    message: 'It did not answer within 5 s: the call was refused.',
  })
  await agent.turn(session, ['I go on without it.'])
}
