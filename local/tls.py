"""Real TLS for the stand-ins: a throw-away certificate authority, and https on this machine alone."""

import asyncio
import fcntl
import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import certifi
import trustme
from aiohttp import web

from local.parts import LOOPBACK

# An open request is a fault's delay or a client's pause: neither is worth waiting for at the end.
_GRACE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Identity:
    """What a server shows (``context``), and the file of authorities by which a client believes it."""

    context: ssl.SSLContext
    bundle: Path


def identity(directory: Path) -> Identity:
    """Read the identity kept in ``directory``, making it when there is none.

    The bundle is certifi's and one authority more, so a client that is given it still trusts the real
    world. The authority's own key is never written: it signs one certificate, for localhost, and is gone.
    """
    bundle, server = directory / "ca-bundle.pem", directory / "localhost.pem"
    with alone(directory):
        if not (bundle.exists() and server.exists()):
            _issue(bundle, server)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(server)
    return Identity(context, bundle)


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Keep other programs out of a directory, which is made, while the block looks for a file and makes it.

    Two that issue at once would leave a server that nobody believes.
    """
    directory.mkdir(parents=True, exist_ok=True)
    number = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def _issue(bundle: Path, server: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    write(bundle, [Path(certifi.where()).read_bytes(), authority.cert_pem.bytes()], mode=0o644)
    write(server, [issued.private_key_and_cert_chain_pem.bytes()], mode=0o600)


def write(path: Path, parts: Iterable[bytes], *, mode: int) -> None:
    """Write a file anew, from its first byte with these permissions."""
    path.unlink(missing_ok=True)
    path.touch(mode=mode, exist_ok=False)
    path.write_bytes(b"".join(parts))


@asynccontextmanager
async def listening(
    application: web.Application, context: ssl.SSLContext | None, *, port: int = 0
) -> AsyncIterator[str]:
    """Serve ``application`` over https on the loopback address while the block runs; yield its base URL.

    Without a context it is plain http, for what is so in Azure too.

    Raises:
        OSError: ``EADDRINUSE`` when ``port`` is taken.
    """
    listener = socket.create_server((LOOPBACK, port))
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_GRACE_SECONDS)
    await runner.setup()
    assert runner.server
    server = await asyncio.get_running_loop().create_server(runner.server, sock=listener, ssl=context)
    try:
        yield f"{'https' if context else 'http'}://localhost:{listener.getsockname()[1]}"
    finally:
        server.close()
        await runner.cleanup()
        # An idle client would take its time to say goodbye.
        server.abort_clients()
        await server.wait_closed()
