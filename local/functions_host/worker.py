"""The worker as a program of its own; the host starts it: ``python -m local.functions_host.worker FD APP``.

It has no signal handlers and no end of its own: it works until its host hangs up.
"""

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.functions_host import logs, protocol
from local.functions_host.errors import HostError
from local.functions_host.library import Library
from local.functions_host.protocol import Invocation


async def work(channel: socket.socket, app: Path) -> None:
    """Load an app, tell what is in it, and call what the host asks for, until it hangs up.

    The first frame to the host is ``functions``, or ``error`` with a text for a person. After that each
    ``call`` with its ``invocation`` is answered by the same ``call`` and a ``failure`` that may be null.
    """
    library = Library()
    try:
        await library.index(app)
    except HostError as error:
        channel.sendall(protocol.frame(error=str(error)))
        return
    channel.sendall(protocol.frame(functions=library.functions))
    running: set[asyncio.Task[None]] = set()

    async def answer(asked: dict[str, Any]) -> None:
        failure = await library.invoke(Invocation.read(asked["invocation"]))
        channel.sendall(protocol.frame(call=asked["call"], failure=failure))

    def begin(asked: dict[str, Any]) -> None:
        task = asyncio.create_task(answer(asked))
        running.add(task)
        task.add_done_callback(running.discard)

    loop = asyncio.get_running_loop()
    # A thread, so that the end is noticed even while a coroutine of the app blocks the loop.
    threading.Thread(
        target=_listen, args=(channel, lambda asked: loop.call_soon_threadsafe(begin, asked)), daemon=True
    ).start()
    await asyncio.Event().wait()


def _listen(channel: socket.socket, begin: Callable[[dict[str, Any]], object]) -> None:
    try:
        with channel.makefile("rb") as file:
            for asked in protocol.frames_of(file):
                begin(asked)
    finally:
        # The interpreter would wait for every thread of the library's pool, however long its call takes.
        os._exit(0)


if __name__ == "__main__":
    logs.configure_worker()
    with socket.socket(fileno=int(sys.argv[1])) as end:
        asyncio.run(work(end, Path(sys.argv[2])))
