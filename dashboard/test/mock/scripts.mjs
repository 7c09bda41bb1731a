// What the scripted agent does, by words in the prompt.
import { agentScripts } from './scripts-agent.mjs'
import { needy } from './secrets.mjs'

const SERVER = `import { createServer } from 'node:http'
import { DatabaseSync } from 'node:sqlite'

const db = new DatabaseSync('tasks.db')
db.exec('create table if not exists task (id integer primary key, text text not null, done integer not null default 0)')

createServer((request, response) => {
  if (request.url === '/api/tasks') {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(db.prepare('select * from task').all()))
    return
  }
  response.setHeader('content-type', 'text/html')
  response.end(page)
}).listen(3000, () => console.log('Listening on http://localhost:3000'))
`

const DIFF = `  8 createServer((request, response) => {
  9   if (request.url === '/api/tasks') {
-10     response.end(JSON.stringify(db.prepare('select * from task').all()))
+10     const rows = db.prepare('select id, text, done from task order by done, id').all()
+11     response.setHeader('content-type', 'application/json')
+12     response.end(JSON.stringify(rows))
 13     return
 14   }`

const service = (status) => ({
  id: 'svc1',
  name: 'Task app',
  type: 'app',
  port: 3000,
  schedule: null,
  status,
  command: 'node server.mjs',
  cwd: '/home/project',
  env: { PORT: '3000' },
  restart: 'on-failure',
  description: 'A small list of tasks that keeps its data',
})

async function app(agent, session) {
  await agent.turn(session, [
    {
      thinking:
        'The person wants a small task app with data that stays. Node has SQLite built in, so no packages are needed. I will write one server file, start it in the background, check that it answers, and register the service so that it shows in the sidebar.',
    },
    'I will build it with Node and its built-in SQLite, so there is nothing to install.',
    {
      tool: 'bash',
      input: { command: 'node --version && ls -la' },
      output:
        'v22.11.0\ntotal 8\ndrwxr-xr-x 2 root root 4096 Nov 21 02:10 .\ndrwxr-xr-x 5 root root 4096 Nov 21 02:10 ..',
      took: 140,
      details: { exitCode: 0 },
    },
  ])
  await agent.turn(session, [
    {
      tool: 'write',
      input: { path: 'server.mjs', content: SERVER },
      output: 'Wrote server.mjs',
      took: 30,
    },
    {
      tool: 'write',
      input: {
        path: 'README.md',
        content:
          '# Tasks\n\nA small task list.\n\n- `node server.mjs` starts it\n- the data is in `tasks.db`\n',
      },
      output: 'Wrote README.md',
      took: 20,
    },
  ])
  await agent.turn(session, [
    {
      tool: 'edit',
      input: { path: 'server.mjs', edits: [] },
      output: 'Edited server.mjs',
      details: { diff: DIFF },
      took: 40,
    },
    {
      tool: 'bash',
      input: { command: 'node server.mjs', background: true },
      output: 'Listening on http://localhost:3000',
      live: ['Listening on ', 'http://localhost:3000\n'],
      took: 600,
      details: { exitCode: 0 },
      effect: (project) => {
        project.appPort = 3000
        project.emit('app_port', null, { port: 3000, source: 'detected' })
        project.side.processes.set('svc1', {
          state: 'running',
          pid: 41,
          restarts: 0,
          exitCode: null,
          since: Date.now(),
        })
        project.processes.push({
          id: `${session.id}:p1`,
          pid: 41,
          label: 'node server.mjs',
          pty: false,
          startedAt: Date.now(),
          outputBytes: 36,
          exit: null,
        })
        project.setInspect({
          services: [service('running')],
          // The process is observed, not noted down.
          assets: [
            {
              id: 'as1',
              name: 'Read me',
              type: 'document',
              path: '/home/project/README.md',
              description: 'How to start it',
            },
          ],
        })
      },
    },
    {
      tool: 'notify_dashboard',
      input: { message: 'The task app runs on port 3000', type: 'success', refreshIframe: true },
      output: 'Dashboard notified.',
      took: 10,
      effect: (project, s) =>
        project.emit('notify', s.id, {
          message: 'The task app runs on port 3000',
          level: 'success',
          refreshIframe: true,
        }),
    },
  ])
  await agent.turn(session, [
    'The task app runs. What it is made of:\n\n- `server.mjs` serves the page and a small API\n- `tasks.db` keeps the tasks, so they survive a restart\n\n| Route | What |\n|---|---|\n| `GET /` | the page |\n| `GET /api/tasks` | all tasks as JSON |\n| `POST /api/tasks` | a new task |\n\nTo start it by hand:\n\n```sh\nnode server.mjs\n```\n\nOpen it from **Services** in the sidebar.',
  ])
}

async function failing(agent, session) {
  await agent.turn(session, [
    'I write it as asked, run it, and see what it says.',
    {
      tool: 'write',
      input: {
        path: 'count.py',
        content:
          'total = 0\nfor line in open("numbers.txt"):\n    total += int(line)\nprint(total)\n',
      },
      output: 'Wrote count.py',
      took: 20,
    },
    {
      tool: 'bash',
      input: { command: 'python3 count.py' },
      fails: true,
      took: 210,
      details: { exitCode: 1 },
      output:
        'Traceback (most recent call last):\n  File "/home/project/count.py", line 2, in <module>\n    for line in open("numbers.txt"):\nFileNotFoundError: [Errno 2] No such file or directory: \'numbers.txt\'\n\nCommand exited with code 1',
    },
  ])
  await agent.turn(session, [
    'It fails because `numbers.txt` is not there. I make the file and run it again.',
    {
      tool: 'bash',
      input: { command: 'seq 1 200 > numbers.txt && cat numbers.txt && python3 count.py' },
      took: 300,
      details: { exitCode: 0 },
      output: `${Array.from({ length: 200 }, (_, i) => i + 1).join('\n')}\n20100`,
    },
  ])
  await agent.turn(session, ['Mended: the sum of 1 to 200 is **20100**.'])
}

async function asking(agent, session) {
  await agent.turn(session, [
    'One thing to settle first.',
    {
      tool: 'ask',
      ask: true,
      input: {
        question: 'Where should the tasks be kept?',
        options: [
          'SQLite, one file in the project',
          'PostgreSQL, a service of its own',
          'A JSON file',
        ],
      },
    },
  ])
  await agent.turn(session, ['Good, I will do it that way.'])
}

async function long(agent, session) {
  const lines = Array.from({ length: 40 }, (_, i) => `step ${i + 1} of 40 done\n`)
  await agent.turn(session, [
    'This takes a while.',
    {
      tool: 'bash',
      input: { command: 'for i in $(seq 1 40); do sleep 0.2; echo "step $i of 40 done"; done' },
      live: lines,
      output: lines.join(''),
      took: 8000,
      details: { exitCode: 0 },
    },
  ])
  await agent.turn(session, ['All forty steps are done.'])
}

async function broken(agent, session) {
  await agent.retry(session, '529 overloaded_error: Overloaded')
  await agent.turn(session, [], { error: '401 authentication_error: invalid x-api-key' })
}

async function restarted(agent, session) {
  const { project } = agent
  project.emit('message_start', session.id, { messageId: 'r1', role: 'assistant' })
  project.emit('message_update', session.id, {
    messageId: 'r1',
    type: 'text_delta',
    contentIndex: 0,
    delta: 'This half will be void',
  })
  await agent.wait(400)
  project.emit('message_restarted', session.id, {
    messageId: 'r1',
    reason: 'the gateway restarted',
  })
  await agent.wait(400)
  await agent.turn(session, ['This is the whole answer.'])
}

/** One chunk per frame for a while: the page must draw only what changed. */
async function flood(agent, session) {
  const words = Array.from(
    { length: 400 },
    (_, i) => `word${i}${i % 40 === 39 ? '.\n\n' : ' '}`,
  ).join('')
  await agent.turn(session, [words])
}

async function plain(agent, session, text) {
  await agent.turn(session, [
    `You said: ${text}\n\nI am the test agent; ask me for a task app, a failing script, a question or a long run.`,
  ])
}

export const scripts = [
  ...agentScripts,
  [/task app|build/, app],
  [/fails?\b|mend/, failing],
  [/secret/, needy],
  [/question|ask me/, asking],
  [/long/, long],
  [/refused|broken/, broken],
  [/restart/, restarted],
  [/flood/, flood],
  [/./, plain],
]

/** A conversation of many events, as a long day leaves it. */
export function bigSession(project, turns = 700) {
  const session = project.session(project.newSession('A long day'))
  for (let i = 0; i < turns; i++) {
    project.add(session, { role: 'user', content: `Step ${i}: look at module ${i} and tidy it.` })
    const id = `big_${i}`
    project.add(session, {
      role: 'assistant',
      api: 'anthropic-messages',
      provider: session.model.provider,
      model: session.model.id,
      stopReason: 'toolUse',
      usage: DEMO,
      content: [
        {
          type: 'text',
          text: `Looking at **module ${i}**.\n\nIt has a few things to tidy:\n\n- names\n- one long function\n\n\`\`\`ts\nexport const n = ${i}\n\`\`\``,
        },
        { type: 'toolCall', id, name: 'bash', arguments: { command: `cat src/module${i}.ts` } },
      ],
    })
    project.add(session, {
      role: 'toolResult',
      toolCallId: id,
      toolName: 'bash',
      isError: false,
      content: [{ type: 'text', text: 'line\n'.repeat(60) }],
    })
    project.add(session, {
      role: 'assistant',
      api: 'anthropic-messages',
      provider: session.model.provider,
      model: session.model.id,
      stopReason: 'stop',
      usage: DEMO,
      content: [{ type: 'text', text: `Module ${i} is tidy.` }],
    })
  }
  return session.id
}
const DEMO = {
  input: 900,
  output: 120,
  cacheRead: 0,
  cacheWrite: 0,
  totalTokens: 1020,
  cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, total: 0.002 },
}
