"""A collector that reads requests with OpenTelemetry's own generated types, and knows which attributes its
registry has. `collector.py PORT` serves until it is ended:

POST anything   a request for traces, remembered and answered as was said before
PUT  /fates     a list of statuses for the next requests, each a number or {"status":n,"retryAfter":"…"}
GET  /seen      all requests: {path, status, headers, resource, spans, unknown, bytes}
"""

import base64
import gzip
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

REGISTRY = {v for k, v in vars(gen_ai_attributes).items() if isinstance(v, str) and v.startswith("gen_ai.")}
seen, fates, lock = [], [], Lock()


def plain(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(v) for v in value.array_value.values]
    return getattr(value, kind) if kind else None


def attributes(pairs):
    told = {pair.key: plain(pair.value) for pair in pairs}
    assert len(told) == len(pairs), "a key twice"
    return told


def read(headers, body):
    if headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    request = ExportTraceServiceRequest()
    if headers["content-type"] == "application/json":
        # Ids are hexadecimal in OTLP, and base64 in what this reader knows.
        def fixed(node):
            if isinstance(node, list):
                return [fixed(n) for n in node]
            if not isinstance(node, dict):
                return node
            ids = ("traceId", "spanId", "parentSpanId")
            return {
                k: base64.b64encode(bytes.fromhex(v)).decode() if k in ids else fixed(v) for k, v in node.items()
            }

        Parse(json.dumps(fixed(json.loads(body))), request)
    else:
        assert headers["content-type"] == "application/x-protobuf", headers["content-type"]
        request.ParseFromString(body)
    return request


def told(request):
    spans, resource = [], {}
    for group in request.resource_spans:
        resource = attributes(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                assert len(span.trace_id) == 16 and len(span.span_id) == 8, "ids"
                assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano, "times"
                spans.append({
                    "traceId": span.trace_id.hex(),
                    "spanId": span.span_id.hex(),
                    "parentId": span.parent_span_id.hex() or None,
                    "name": span.name,
                    "kind": Span.SpanKind.Name(span.kind),
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "attributes": attributes(span.attributes),
                    "events": [e.name for e in span.events],
                    "status": Status.StatusCode.Name(span.status.code),
                    "message": span.status.message,
                    "scope": scope.scope.name,
                })
    return spans, resource


class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, kind="application/json", more=()):
        try:
            self.respond(status, body, kind, more)
        except ConnectionError:  # whoever asked was killed
            self.close_connection = True

    def respond(self, status, body, kind, more):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        for name, value in more:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def do_GET(self):
        with lock:
            self.answer(200, json.dumps(seen).encode())

    def do_PUT(self):
        with lock:
            fates[:] = json.loads(self.body())
        self.answer(200, b"{}")

    def do_POST(self):
        body = self.body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            spans, resource = told(read(headers, body))
        except Exception as error:  # what cannot be read is what the story wants to hear of
            with lock:
                seen.append({"fault": repr(error)})
            self.answer(400, repr(error).encode())
            return
        keys = {k for s in spans for k in s["attributes"] if k.startswith("gen_ai.")}
        with lock:
            fate = fates.pop(0) if fates else 200
            fate = fate if isinstance(fate, dict) else {"status": fate}
            seen.append({
                "path": self.path,
                "status": fate["status"],
                "headers": headers,
                "resource": resource,
                "spans": spans,
                "unknown": sorted(keys - REGISTRY),
                "bytes": len(body),
            })
        more = [("retry-after", fate["retryAfter"])] if "retryAfter" in fate else []
        if headers["content-type"] == "application/json":
            self.answer(fate["status"], b"{}", more=more)
        else:
            said = ExportTraceServiceResponse().SerializeToString()
            self.answer(fate["status"], said, "application/x-protobuf", more)


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Collector).serve_forever()
