"""A to-do list that keeps its tasks in SQLite. Python's standard library only."""

import json
import os
import sqlite3
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATABASE = HERE / "tasks.db"
BODY_BYTES_MAX = 64 * 1024
TITLE_CHARS_MAX = 200


def database():
    connection = sqlite3.connect(DATABASE, timeout=5)
    connection.row_factory = sqlite3.Row
    return connection


def prepare():
    with database() as db:
        db.execute(
            """CREATE TABLE IF NOT EXISTS tasks (
                 id INTEGER PRIMARY KEY AUTOINCREMENT,
                 title TEXT NOT NULL,
                 done INTEGER NOT NULL DEFAULT 0,
                 created_at TEXT NOT NULL DEFAULT (datetime('now')))"""
        )


class Problem(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def title_of(body):
    title = str(body.get("title", "")).strip()
    if not title:
        raise Problem(400, "A task needs a title.")
    if len(title) > TITLE_CHARS_MAX:
        raise Problem(400, f"A title has at most {TITLE_CHARS_MAX} characters.")
    return title


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Stay quiet: the page tells what happens."""

    def answer(self, status, body, kind="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(data)

    def body(self):
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_BYTES_MAX:
            self.close_connection = True
            raise Problem(413, "That is too long.")
        try:
            body = json.loads(self.rfile.read(length) or b"{}")
        except ValueError:
            raise Problem(400, "That is no JSON.") from None
        if not isinstance(body, dict):
            raise Problem(400, "Expected a JSON object.")
        return body

    def task_id(self):
        try:
            return int(self.path.removeprefix("/api/tasks/"))
        except ValueError:
            raise Problem(404, "No such task.") from None

    def handle_request(self, action):
        try:
            action()
        except Problem as problem:
            self.answer(problem.status, {"error": str(problem)})
        except sqlite3.Error as error:
            self.answer(500, {"error": f"The database says: {error}"})

    def do_GET(self):
        self.handle_request(self.get)

    def do_POST(self):
        self.handle_request(self.post)

    def do_PATCH(self):
        self.handle_request(self.patch)

    def do_DELETE(self):
        self.handle_request(self.delete)

    def get(self):
        if self.path.split("?")[0] in ("/", "/index.html"):
            self.answer(200, (HERE / "index.html").read_bytes(), "text/html")
        elif self.path == "/api/tasks":
            with database() as db:
                rows = db.execute("SELECT id, title, done FROM tasks ORDER BY done, id DESC")
                self.answer(200, [{**row, "done": bool(row["done"])} for row in map(dict, rows)])
        else:
            raise Problem(404, "There is nothing here.")

    def post(self):
        if self.path != "/api/tasks":
            raise Problem(404, "There is nothing here.")
        title = title_of(self.body())
        with database() as db:
            row = db.execute("INSERT INTO tasks (title) VALUES (?)", (title,))
        # Only now it is committed: whoever has the answer finds the task.
        self.answer(201, {"id": row.lastrowid, "title": title, "done": False})

    def patch(self):
        body, task = self.body(), self.task_id()
        with database() as db:
            if "title" in body:
                db.execute("UPDATE tasks SET title = ? WHERE id = ?", (title_of(body), task))
            if "done" in body:
                done = int(bool(body["done"]))
                db.execute("UPDATE tasks SET done = ? WHERE id = ?", (done, task))
            if not db.execute("SELECT 1 FROM tasks WHERE id = ?", (task,)).fetchone():
                raise Problem(404, "No such task.")
        self.answer(200, {})

    def delete(self):
        with database() as db:
            db.execute("DELETE FROM tasks WHERE id = ?", (self.task_id(),))
        self.answer(200, {})


def listen():
    first = int(os.environ.get("PORT", "3000"))
    for port in range(first, first + 20):
        try:
            return ThreadingHTTPServer(("127.0.0.1", port), Handler)
        except OSError:
            continue
    raise SystemExit(f"No free port from {first} to {first + 19}.")


if __name__ == "__main__":
    prepare()
    server = listen()
    (HERE / "server.pid").write_text(str(os.getpid()))
    (HERE / "server.port").write_text(str(server.server_port))
    print(f"Listening on port {server.server_port}", flush=True)
    server.serve_forever()
