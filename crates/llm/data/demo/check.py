"""Waits until the to-do app answers, then stores a task, reads it back and removes it."""

import json
import time
import urllib.request
from pathlib import Path

PORT_FILE = Path(__file__).resolve().parent / "server.port"
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(method, path, body=None):
    port = PORT_FILE.read_text()
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, method=method)
    with opener.open(request, timeout=5) as answer:
        return answer.read()


deadline = time.monotonic() + 15
while True:
    try:
        page = call("GET", "/")
        break
    except OSError as error:
        if time.monotonic() > deadline:
            raise SystemExit(f"The app does not answer: {error}") from None
        time.sleep(0.1)

assert b"<title>" in page, "the page has no title"
task = json.loads(call("POST", "/api/tasks", {"title": "A check"}))
stored = [t for t in json.loads(call("GET", "/api/tasks")) if t["id"] == task["id"]]
assert stored and stored[0]["title"] == "A check", "the task was not stored"
call("DELETE", f"/api/tasks/{task['id']}")
assert all(t["id"] != task["id"] for t in json.loads(call("GET", "/api/tasks")))
print(f"port={PORT_FILE.read_text()}")
print("OK: the page answers; a task was stored, read back and removed.")
