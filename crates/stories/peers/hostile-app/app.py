"""A hostile app: serves its own attacks and writes down every request that reaches it."""

import http.server
import json
import sys

PORT, FOLDER = int(sys.argv[1]), sys.argv[2]
FILES = {
    "/attacks.js": "text/javascript",
    "/worker.js": "text/javascript",
    "/shared.js": "text/javascript",
}
PAGE = b"<!doctype html><title>Hostile</title><h1>Hostile app</h1><script src=/attacks.js></script>"
# What an app would send to take a cookie's place, to get rid of one, or to clear the browser.
COOKIES = [
    "toft_session=tossed; Path=/; Max-Age=600",
    "toft_session=tossed; Path=/; Domain=localhost; Max-Age=600",
    "toft_session=; Path=/; Domain=localhost; Max-Age=0",
    "wide=1; Path=/; Domain=localhost; Max-Age=600",
    "mine=1; Path=/; Max-Age=600",
]


class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length).decode(errors="replace")
        with open(f"{FOLDER}/seen-{PORT}.log", "a") as log:
            head = [list(pair) for pair in self.headers.items()]
            log.write(json.dumps({"line": self.requestline, "head": head, "body": body}) + "\n")
        path = self.path.split("?")[0]
        if path in FILES:
            with open(FOLDER + path, "rb") as file:
                self.send(FILES[path], file.read(), [("Service-Worker-Allowed", "/")])
        elif path == "/hello":
            self.send("application/json", json.dumps({"hello": PORT}).encode())
        elif path == "/cookies":
            self.send("text/plain", b"set", [("Set-Cookie", cookie) for cookie in COOKIES])
        elif path == "/clear":
            self.send("text/html", PAGE, [("Clear-Site-Data", '"*"')])
        else:
            self.send("text/html", PAGE)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def send(self, kind, body, headers=()):
        self.send_response(200)
        for name, value in [("Content-Type", kind), ("Content-Length", str(len(body))), *headers]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), App).serve_forever()
