// Waits until the to-do app answers, then stores a task, reads it back and removes it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { request } from "node:http";

const port = () => readFileSync(new URL("server.port", import.meta.url), "utf8");

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port: port(), method, path, timeout: 5000 }, (answer) => {
      let text = "";
      answer.on("data", (chunk) => (text += chunk));
      answer.on("end", () => resolve(text));
    });
    sent.on("error", reject);
    sent.end(body && JSON.stringify(body));
  });
}

const deadline = Date.now() + 15_000;
let page;
while (page === undefined) {
  try {
    page = await call("GET", "/");
  } catch (error) {
    if (Date.now() > deadline) throw new Error(`The app does not answer: ${error.message}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

assert.ok(page.includes("<title>"), "the page has no title");
const task = JSON.parse(await call("POST", "/api/tasks", { title: "A check" }));
const tasks = async () => JSON.parse(await call("GET", "/api/tasks"));
assert.equal((await tasks()).find((t) => t.id === task.id)?.title, "A check");
await call("DELETE", `/api/tasks/${task.id}`);
assert.ok((await tasks()).every((t) => t.id !== task.id));
console.log(`port=${port()}`);
console.log("OK: the page answers; a task was stored, read back and removed.");
