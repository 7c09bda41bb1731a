"""An app that shows who visits: sets a cookie out of scripts' reach and one within it, tells the
cookies that it gets, counts what was posted. Argument: its name."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

name = sys.argv[1]
posts = 0


class App(BaseHTTPRequestHandler):
    def say(self, kind, body):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", f"sid={name}-hidden; Path=/; HttpOnly")
        self.send_header("Set-Cookie", f"{name}=open; Path=/")
        self.send_header("Set-Cookie", "toft_session=evil; Path=/v1")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/seen":
            seen = {"cookie": self.headers.get("Cookie", ""), "posts": posts}
            self.say("application/json", json.dumps(seen).encode())
        elif self.path == "/lib.js":
            self.say("text/javascript", b"window.stolen = true")
        else:
            self.say("text/html", f"<!doctype html><title>{name}</title><h1>This is {name}</h1>".encode())

    def do_POST(self):
        global posts
        posts += 1
        self.say("text/plain", b"posted")

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", 3000), App).serve_forever()
