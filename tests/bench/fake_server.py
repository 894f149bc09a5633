"""A server that calls every text positive: python -m tests.bench.fake_server PORT [--failing N].

``--of`` is for whoever looks for it among the processes.

With ``--failing`` every Nth request of the clients of ``bench.load`` is answered 503.
"""

from __future__ import annotations

import argparse
import itertools
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERDICT = {"label": "positive", "score": 1.0}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    failing = 0
    numbers = itertools.count(1)

    def do_GET(self) -> None:
        self._send(200, "ready")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/predict":
            self._send(404, {"detail": "not here"})
            return
        loaded = "Accept-Encoding" not in self.headers  # which http.client always sends
        if loaded and self.failing and next(self.numbers) % self.failing == 0:
            self._send(503, {"detail": "full"})
            return
        texts = [asked["inputs"]] if isinstance(asked["inputs"], str) else asked["inputs"]
        timing = {"dtype": "float32"}
        self._send(200, {"results": [VERDICT] * len(texts), "schedule": None, "timing": timing})

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""

    def _send(self, status: int, answer: object) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--failing", type=int, default=0)
    parser.add_argument("--of")
    options = parser.parse_args()
    Handler.failing = options.failing
    ThreadingHTTPServer(("127.0.0.1", options.port), Handler).serve_forever()
