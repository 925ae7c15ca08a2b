"""A witness (c2sp.org/tlog-witness) on this machine: it takes a checkpoint only with a proof that it extends what it has seen.

Written from the specification, with the tests' own book-keeping; it can be stopped and started again at its port, and made to
answer badly.
"""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from shared.checkpoint import Checkpoint, open_checkpoint
from shared.consistency_proof import parse_consistency_proof
from shared.errors import Tampered
from shared.merkle import EMPTY_ROOT
from shared.signed_note import Verifier


class Witness:
    """Knows the logs of these verifiers. `answers` are the statuses that it gave; `seen` what it took, by origin."""

    def __init__(self, *verifiers: Verifier) -> None:
        self.verifiers = {verifier.name: verifier for verifier in verifiers}
        self.seen: dict[str, Checkpoint] = {}
        self.answers: list[int] = []
        self.broken: bytes | None = None
        """What it says instead of an answer; b"" to say nothing and hold the line."""
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/w"

    def start(self) -> None:
        """Listens, at the port that it had."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Is away: nobody listens."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def add_checkpoint(self, body: bytes) -> tuple[int, bytes]:
        """The specification's answers: 200, 400, 403, 404, 409 with its size, 422."""
        try:
            proof = parse_consistency_proof(body)
        except Tampered:
            return 400, b""
        origin = proof.checkpoint.partition(b"\n")[0].decode()
        if origin not in self.verifiers:
            return 404, b""
        try:
            new = open_checkpoint(proof.checkpoint, [self.verifiers[origin]])
        except Tampered:
            return 403, b""
        old = self.seen.get(origin, Checkpoint(origin, 0, EMPTY_ROOT))
        if proof.old_size != old.size:
            return 409, f"{old.size}\n".encode()
        try:
            proof.verify(old, [self.verifiers[origin]])
        except Tampered:
            return 422, b""
        self.seen[origin] = new
        return 200, "— witness.example AAAA\n".encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        witness = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if witness.broken is not None:
                    self.wfile.write(witness.broken)
                    if not witness.broken:
                        time.sleep(30)
                    return
                known = self.path == "/w/add-checkpoint"
                status, answer = witness.add_checkpoint(body) if known else (404, b"")
                witness.answers.append(status)
                self.send_response(status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
