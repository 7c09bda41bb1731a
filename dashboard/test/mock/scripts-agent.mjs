// What the scripted agent does with its own means: steps, plans, helpers, questions about its calls.
import { extended, tested } from './agent-parts.mjs'
import { askedAbout } from './helper.mjs'

const STEPS = [
  'Read how tasks are kept now',
  'Move the queries into a module of their own',
  'Write tests for the module',
  'Run the tests',
]

const steps = (done) => ({
  tool: 'todo',
  input: {
    items: STEPS.map((content, at) => ({
      content,
      status: at < done ? 'completed' : at === done ? 'in_progress' : 'pending',
    })),
  },
  output: `${done} of ${STEPS.length} done.`,
  took: 10,
})

const PATCH = `--- server.mjs
+++ server.mjs
@@ -1,5 +1,5 @@
 import { createServer } from 'node:http'
-import { DatabaseSync } from 'node:sqlite'
+import { allTasks } from './tasks.mjs'
${' '}
-const db = new DatabaseSync('tasks.db')
+const tasks = allTasks()
 createServer((request, response) => {
--- tasks.mjs
+++ tasks.mjs
@@ -0,0 +1,4 @@
+import { DatabaseSync } from 'node:sqlite'
+
+const db = new DatabaseSync('tasks.db')
+export const allTasks = () => db.prepare('select * from task').all()
`

/** Longer work by a list of steps; `half` of it, and the rest stays. */
const stepped = (whole) => async (agent, session) => {
  await agent.turn(session, ['I go step by step.', steps(0)])
  await agent.turn(session, [
    {
      tool: 'web_fetch',
      input: { url: 'https://nodejs.org/api/sqlite.html' },
      output: 'SQLite\n\nThe node:sqlite module facilitates working with SQLite databases.',
      details: {
        url: 'https://nodejs.org/api/sqlite.html',
        status: 200,
        mimeType: 'text/html',
        bytes: 48_213,
        truncated: false,
      },
    },
    steps(1),
    {
      tool: 'apply_patch',
      input: {
        input:
          '*** Begin Patch\n*** Update File: server.mjs\n*** Add File: tasks.mjs\n*** End Patch',
      },
      output: 'Done.',
      details: {
        diff: PATCH,
        diffTruncated: false,
        addedLines: 6,
        removedLines: 2,
        files: [
          { path: 'server.mjs', change: 'M' },
          { path: 'tasks.mjs', change: 'A' },
        ],
      },
      took: 40,
    },
    steps(2),
  ])
  if (!whole) {
    await agent.turn(session, ['I stop here: the tests need a decision of yours.'])
    return
  }
  await agent.turn(session, [
    {
      tool: 'process',
      input: { action: 'output', id: 'p1' },
      output: 'Listening on http://localhost:3000',
      details: { id: 'p1', fromByte: 0, outputBytes: 36, running: true },
    },
    steps(3),
    steps(4),
  ])
  await agent.turn(session, ['All four steps are done.'])
}

const PLAN = {
  summary: 'Keep the tasks in SQLite, in a module of their own, without losing the ones there are.',
  todos: [
    {
      id: '1',
      title: 'Write the module that keeps tasks',
      details: 'tasks.mjs opens tasks.db and offers all, add and done.',
      acceptanceCriteria: ['the tests of the module pass', 'no other file opens the database'],
    },
    {
      id: '2',
      title: 'Bring over the tasks of tasks.json',
      acceptanceCriteria: ['every task of the file is in the database'],
    },
    { id: '3', title: 'Use the module in the server' },
  ],
}

async function planning(agent, session) {
  await agent.turn(session, [
    'I look at what there is first.',
    { tool: 'read', input: { path: 'server.mjs' }, output: 'import http\n'.repeat(20), took: 30 },
  ])
  await agent.turn(session, [
    `This is how I would do it.\n\n\`\`\`json\n${JSON.stringify(PLAN, null, 2)}\n\`\`\``,
  ])
  agent.project.propose(session, PLAN, session.messages.at(-1).entryId)
}

/** The project's own check after a build: it fails, and is mended. */
async function checking({ project, ...agent }, session) {
  const check = { command: 'npm test', attempt: 0, attemptsMax: 2 }
  const of = { toolCallId: 'check_1', toolName: 'bash' }
  project.emit('auto_check', session.id, { status: 'started', ...check })
  project.emit('tool_start', session.id, { ...of, input: { command: 'npm test' } })
  await new Promise((resolve) => setTimeout(resolve, 400 * agent.pace))
  const result = { content: [{ type: 'text', text: '1 failed' }], details: { exitCode: 1 } }
  project.emit('tool_end', session.id, { ...of, result, isError: true, durationMs: 400 })
  project.add(session, {
    role: 'custom',
    display: true,
    content:
      "[The project's check `npm test` was run after your work, and fails. Mend what it shows, try 1 of 2; it will be run again.]\n\n1 failed: keeps tasks",
  })
  const status = 'fix_attempt'
  project.emit('auto_check', session.id, { status, ...check, attempt: 1, exitCode: 1 })
}

async function carrying(agent, session) {
  const items = session.todos.map((item) => ({ ...item, status: 'completed' }))
  await agent.turn(session, [
    'I carry it out.',
    { tool: 'todo', input: { items }, output: 'All done.', took: 10 },
  ])
  await agent.turn(session, ['The plan is carried out.'])
  await checking(agent, session)
}

const helper = (description, command) => ({
  tool: 'task',
  input: { description, prompt: `${description}. Answer in one sentence.` },
  task: {
    prompt: `${description}. Answer in one sentence.`,
    turns: [
      [
        'I look.',
        { tool: 'bash', input: { command }, output: '12\n', took: 400, details: { exitCode: 0 } },
      ],
      [`${description}: there are twelve.`],
    ],
  },
})

async function delegating(agent, session) {
  await agent.turn(session, [
    'I give this to a helper.',
    helper('Count the tests', 'grep -rc "test(" test'),
  ])
  await agent.turn(session, ['The helper counted twelve tests.'])
}

async function permitted(agent, session) {
  await agent.turn(session, [
    'I push what is done.',
    {
      tool: 'bash',
      input: { command: 'git push origin main' },
      output: 'To github.com:garden/planner.git\n   3f1c2aa..9b7de01  main -> main',
      details: { exitCode: 0 },
      may: {
        question:
          'May the agent use `bash` for this?\n\ngit push origin main\n\nPushes go to other people.',
        options: ['Allow once', 'Always in this conversation', 'Deny'],
        kind: 'permission',
        id: 'q:permission',
      },
    },
  ])
  await agent.turn(session, ['I am through with the push.'])
}

async function doubtful(agent, session) {
  await agent.turn(session, [
    {
      tool: 'bash',
      input: { command: 'node migrate.mjs' },
      output: 'migrated',
      details: { exitCode: 0 },
      may: {
        question:
          'The machine ended before the end of this `bash` call was known. It may have been done, in part or in whole:\n\nnode migrate.mjs',
        options: ['Go on without it', 'Run it again'],
        kind: 'doubt',
        id: 'q:doubt',
      },
    },
  ])
  await agent.turn(session, ['I looked at what is there.'])
}

async function circling(agent, session) {
  const call = {
    tool: 'bash',
    input: { command: 'npm test' },
    output: '1 failed',
    details: { exitCode: 1 },
    fails: true,
  }
  await agent.turn(session, [call])
  await agent.turn(session, [call])
  const toolCallId = session.messages.at(-1).message.toolCallId
  const answer = await askedAbout(agent.project, session, {
    question:
      'The agent has made the same `bash` call 9 times in a row, and was told so. Is it to go on?',
    options: ['Go on', 'Stop'],
    kind: 'loop',
    id: 'q:loop',
    toolCallId,
  })
  if (answer === 'Stop') throw new Error('stopped')
  await agent.turn(session, ['I try another way.'])
}

export const agentScripts = [
  [/carry out this plan/, carrying],
  [/half of the steps/, stepped(false)],
  [/steps/, stepped(true)],
  [/plan/, planning],
  [/helper/, delegating],
  [/push/, permitted],
  [/migrate/, doubtful],
  [/circles/, circling],
  [/run the tests/, tested],
  [/extension/, extended],
]
