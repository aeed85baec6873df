"""A web server of an authority on loopback: lists of revoked certificates, and answers to questions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class CrlServer:
    """An HTTP server on loopback for lists and other small files; also counts who asks. `with` starts and stops it."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.files: dict[str, bytes | Callable[[], bytes]] = {}
        #: What answers to what is posted to a path.
        self.answers: dict[str, Callable[[bytes], bytes]] = {}
        #: Paths that were asked for, in order.
        self.asked: list[str] = []
        #: Answer to everything instead: an HTTP status, 0 for none.
        self.status = 0
        #: Set by the first question.
        self.arrived = threading.Event()
        #: Paths that are somewhere else now.
        self.moved: dict[str, str] = {}
        #: Answers wait for it when it is cleared: a server that has stalled.
        self.going = threading.Event()
        self.going.set()
        self.released = False
        self._server = ThreadingHTTPServer((address, 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_address[1]

    def url(self, name: str) -> str:
        """The address of a file."""
        return f"http://127.0.0.1:{self.port}/{name}"

    def serve(self, name: str, content: bytes | Callable[[], bytes]) -> str:
        """Put a file there, or what a call makes each time; returns its address."""
        self.files[f"/{name}"] = content
        return self.url(name)

    def __enter__(self) -> CrlServer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.released = True
        self.going.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(kit) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(kit.files.get(self.path))

            def do_POST(self) -> None:
                question = self.rfile.read(int(self.headers["Content-Length"]))
                made = kit.answers.get(self.path)
                self.answer(None if made is None else lambda: made(question))

            def answer(self, content: bytes | Callable[[], bytes] | None) -> None:
                kit.asked.append(self.path)
                kit.arrived.set()
                kit.going.wait(60)
                status = kit.status or (302 if self.path in kit.moved else 404 if content is None else 200)
                body = (content() if callable(content) else content or b"") if status == 200 else b""
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    if self.path in kit.moved:
                        self.send_header("Location", kit.moved[self.path])
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass  # who asked has gone

            def log_message(self, format: str, *args: object) -> None:
                """Be quiet."""

        return Handler
