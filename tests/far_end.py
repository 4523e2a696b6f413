"""The far end of a wire: an https server that says what a test tells it to, and keeps what it was asked."""

import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from local import tls


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came over the wire; ``port`` is the client's, one for each connection."""

    port: int
    line: str
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """An answer; ``content_length`` may promise more than the body holds, which then ends in a cut."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    content_length: int | None = None


class Cut:
    """Instead of an answer: the line is cut."""


@dataclass(slots=True)
class FarEnd:
    """A running server: answers come from ``script``, one per request, the last one again and again."""

    url: str
    bundle: Path
    script: list[Say | Cut | Callable[[], Say | Cut]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def next(self) -> Say | Cut:
        """Return what to say now."""
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return step if isinstance(step, Say | Cut) else step()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        # A client that turns away in the middle is part of the play.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # as it came


@contextmanager
def far_end(directory: Path) -> Iterator[FarEnd]:
    """Serve on a free port of the loopback while the block runs."""
    identity = tls.identity(directory)
    server = _Server(("127.0.0.1", 0), _handler(lambda: end))
    server.socket = _wrapped(identity.context, server)
    end = FarEnd(f"https://localhost:{server.server_port}", identity.bundle)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield end
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _wrapped(context: ssl.SSLContext, server: ThreadingHTTPServer) -> ssl.SSLSocket:
    return context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)


def _handler(end: Callable[[], FarEnd]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            end().asked.append(
                Asked(self.client_address[1], self.requestline, list(self.headers.items()), body)
            )
            said = end().next()
            if isinstance(said, Cut):
                self.close_connection = True
                self.connection.close()
                return
            self.send_response_only(said.status)  # and no Date but the script's own
            length = len(said.body) if said.content_length is None else said.content_length
            for name, value in {"Content-Length": str(length), **said.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said.body)
            self.close_connection = length != len(said.body)

        do_GET = do_PATCH = do_POST = _answer  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None:
            pass

    return Handler
