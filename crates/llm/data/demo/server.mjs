// A to-do list that keeps its tasks in SQLite where Node has it, else in a JSON file. No packages.
import { createServer } from "node:http";
import { readFileSync, renameSync, writeFileSync } from "node:fs";

const here = new URL(".", import.meta.url);
const file = (name) => new URL(name, here);
const BODY_BYTES_MAX = 64 * 1024;
const TITLE_CHARS_MAX = 200;

class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function openStore() {
  try {
    const { DatabaseSync } = await import("node:sqlite");
    const db = new DatabaseSync(file("tasks.db").pathname);
    db.exec(`CREATE TABLE IF NOT EXISTS tasks (
      id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL,
      done INTEGER NOT NULL DEFAULT 0, created_at TEXT NOT NULL DEFAULT (datetime('now')))`);
    return {
      kind: "SQLite",
      all: () => db.prepare("SELECT id, title, done FROM tasks ORDER BY done, id DESC").all(),
      add: (title) => Number(db.prepare("INSERT INTO tasks (title) VALUES (?)").run(title).lastInsertRowid),
      rename: (id, title) => db.prepare("UPDATE tasks SET title = ? WHERE id = ?").run(title, id).changes > 0,
      mark: (id, done) => db.prepare("UPDATE tasks SET done = ? WHERE id = ?").run(done ? 1 : 0, id).changes > 0,
      remove: (id) => db.prepare("DELETE FROM tasks WHERE id = ?").run(id),
    };
  } catch (error) {
    if (error.code !== "ERR_UNKNOWN_BUILTIN_MODULE") throw error;
  }
  let state = { next: 1, tasks: [] };
  try {
    state = JSON.parse(readFileSync(file("tasks.json"), "utf8"));
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
  }
  const save = () => {
    writeFileSync(file("tasks.json.new"), JSON.stringify(state));
    renameSync(file("tasks.json.new"), file("tasks.json"));
  };
  const change = (id, apply) => {
    const task = state.tasks.find((task) => task.id === id);
    if (task) apply(task), save();
    return Boolean(task);
  };
  return {
    kind: "a JSON file",
    all: () => [...state.tasks].sort((a, b) => a.done - b.done || b.id - a.id),
    add: (title) => {
      const id = state.next++;
      state.tasks.push({ id, title, done: false });
      save();
      return id;
    },
    rename: (id, title) => change(id, (task) => (task.title = title)),
    mark: (id, done) => change(id, (task) => (task.done = Boolean(done))),
    remove: (id) => {
      state.tasks = state.tasks.filter((task) => task.id !== id);
      save();
    },
  };
}

const store = await openStore();

async function bodyOf(request) {
  let text = "";
  for await (const chunk of request) {
    text += chunk;
    if (text.length > BODY_BYTES_MAX) throw new Problem(413, "That is too long.");
  }
  let body;
  try {
    body = JSON.parse(text || "{}");
  } catch {
    throw new Problem(400, "That is no JSON.");
  }
  if (body === null || typeof body !== "object" || Array.isArray(body)) {
    throw new Problem(400, "Expected a JSON object.");
  }
  return body;
}

function titleOf(body) {
  const title = String(body.title ?? "").trim();
  if (!title) throw new Problem(400, "A task needs a title.");
  if (title.length > TITLE_CHARS_MAX) {
    throw new Problem(400, `A title has at most ${TITLE_CHARS_MAX} characters.`);
  }
  return title;
}

async function handle(request) {
  const path = request.url.split("?")[0];
  const task = Number(/^\/api\/tasks\/(\d+)$/.exec(path)?.[1]);
  if (request.method === "GET" && (path === "/" || path === "/index.html")) {
    return [200, readFileSync(file("index.html")), "text/html"];
  }
  if (request.method === "GET" && path === "/api/tasks") {
    return [200, store.all().map((task) => ({ ...task, done: Boolean(task.done) }))];
  }
  if (request.method === "POST" && path === "/api/tasks") {
    const title = titleOf(await bodyOf(request));
    return [201, { id: store.add(title), title, done: false }];
  }
  if (request.method === "PATCH" && task) {
    const body = await bodyOf(request);
    let found = true;
    if ("title" in body) found = store.rename(task, titleOf(body));
    if ("done" in body) found = store.mark(task, body.done);
    if (!found) throw new Problem(404, "No such task.");
    return [200, {}];
  }
  if (request.method === "DELETE" && task) {
    store.remove(task);
    return [200, {}];
  }
  throw new Problem(404, "There is nothing here.");
}

const server = createServer(async (request, response) => {
  let [status, body, kind] = [500, {}, "application/json"];
  try {
    [status, body, kind = kind] = await handle(request);
  } catch (error) {
    [status, body] = [error.status ?? 500, { error: error.message }];
  }
  const data = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
  response.writeHead(status, {
    "content-type": `${kind}; charset=utf-8`,
    "content-length": data.length,
    "cache-control": "no-store",
  });
  response.end(data);
});

const first = Number(process.env.PORT ?? 3000);
let port = first;
server.on("error", (error) => {
  if (error.code !== "EADDRINUSE" || ++port > first + 19) throw error;
  server.listen(port, "127.0.0.1");
});
server.on("listening", () => {
  writeFileSync(file("server.pid"), String(process.pid));
  writeFileSync(file("server.port"), String(port));
  console.log(`Listening on port ${port}`);
  console.log(`Tasks are kept in ${store.kind}.`);
});
server.listen(port, "127.0.0.1");
