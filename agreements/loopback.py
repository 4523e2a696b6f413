"""The loopback address to which a sign-in in the browser comes back, as a form that the browser posts.

In an address, as redirects were of old, the code would stay in the browser's history.
"""

import os
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from urllib.parse import parse_qsl

from agreements.deadline import Deadline

_TURN_SECONDS = 0.5
# Browsers open connections in advance and say nothing on them; none of those holds up the end.
_SILENCE_SECONDS = 2.0
_LARGEST = 2**16
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<body style="font: 1.1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 15vh auto; padding: 0 1rem">
<h1>{title}</h1>
<p>{text}</p>
</html>
"""
_DONE = _PAGE.format(
    title="Back to the terminal",
    text="It checks this sign-in and says whether it is kept. You can close this window.",
)
_DENIED = _PAGE.format(
    title="The sign-in did not succeed",
    text="The terminal says why, and what to do. You can close this window.",
)


class Loopback:
    """A server on the loopback address; ``url`` is the redirect URI that leads to it."""

    def __init__(self, server: "_Server") -> None:
        self._server = server
        self.port = int(server.server_address[1])
        self.url = f"http://localhost:{self.port}"

    def redirected(self, state: str, deadline: Deadline) -> dict[str, str]:
        """Wait for the browser to be sent here, and return the parameters that it brings.

        Whatever else asks (for an icon, with the state of another sign-in) is answered and changes nothing.

        Raises:
            TimeoutError: nobody came in time.
        """
        self._server.state = state
        while deadline.left():
            self._server.handle_request()
            try:
                return self._server.redirects.get(timeout=min(0.05, deadline.left()))
            except queue.Empty:
                continue
        raise TimeoutError


@contextmanager
def listening(port: int) -> Iterator[Loopback]:
    """Listen on a port of the loopback address while the block runs; 0 takes a free one.

    Raises:
        OSError: ``EADDRINUSE`` when the port is taken.
    """
    with _Server(("127.0.0.1", port)) as server:
        yield Loopback(server)


class _Server(ThreadingTCPServer):
    # On Windows the option would let two programs share the port, and the other one get the redirect.
    allow_reuse_address = os.name == "posix"
    timeout = _TURN_SECONDS

    def __init__(self, address: tuple[str, int]) -> None:
        self.state: str | None = None
        self.redirects: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
        super().__init__(address, _Redirect)


class _Redirect(BaseHTTPRequestHandler):
    server: _Server
    timeout = _SILENCE_SECONDS

    def do_GET(self) -> None:
        """Have nothing to show: a browser may ask for an icon."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Take the redirect and show a page."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LARGEST:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        parameters = dict(parse_qsl(self.rfile.read(int(length)).decode(errors="replace")))
        if parameters.get("state") != self.server.state or not parameters.keys() & {"code", "error"}:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        self._show(_DONE if "code" in parameters else _DENIED)
        self.server.redirects.put(parameters)

    def _show(self, page: str) -> None:
        body = page.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing: the line would hold the code."""
