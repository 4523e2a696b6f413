"""What every stand-in shares as a program: its options, its announcement, its end."""

import argparse
import asyncio
import errno
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, suppress

LOOPBACK = "127.0.0.1"

type Serving[T] = AbstractAsyncContextManager[T]


def add_options(parser: argparse.ArgumentParser, *, port: int | None = None) -> None:
    """Give a part's parser the options that all parts have; ``--port`` only to those that listen on one."""
    if port is not None:
        parser.add_argument("--port", type=int, default=port, help=f"0 takes a free one (default {port})")
    parser.add_argument(
        "--until-stdin-closes",
        action="store_true",
        help="end when standard input closes, so that no part outlives the program that started it",
    )


def run(serving: Serving[Mapping[str, str]], options: argparse.Namespace) -> int:
    """Serve until SIGTERM, Ctrl-C or (asked for) the end of standard input; return the exit code.

    Once the part answers, one line of JSON on standard output tells the environment variables that lead to
    it: ``{"environment": {...}}``.
    """
    try:
        # Who is stopped before it answers has nothing to finish.
        with suppress(asyncio.CancelledError):
            asyncio.run(_serve(serving, lifeline=options.until_stdin_closes))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sys.stderr.write(f"{error.strerror}: name another port, or 0 for a free one\n")
        return 1
    return 0


async def _serve(serving: Serving[Mapping[str, str]], *, lifeline: bool) -> None:
    stop, starting = asyncio.Event(), asyncio.current_task()
    loop = asyncio.get_running_loop()

    def end() -> None:
        stop.set()
        if starting is not None:
            starting.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    if lifeline:
        threading.Thread(target=_wait_for_end_of_input, args=(loop, end), daemon=True).start()
    async with serving as environment:
        starting = None
        sys.stdout.write(json.dumps({"environment": dict(environment)}) + "\n")
        sys.stdout.flush()
        await stop.wait()


def _wait_for_end_of_input(loop: asyncio.AbstractEventLoop, end: Callable[[], None]) -> None:
    # Not by sys.stdin: its lock, held by a thread that waits, would hold up the end of the interpreter.
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(end)


@contextmanager
def in_thread[T](serving: Callable[[], Serving[T]]) -> Iterator[T]:
    """Serve on an event loop in a thread of its own while the block runs, for callers that are not async."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="stand-in")
    thread.start()

    def call[R](work: Coroutine[object, object, R]) -> R:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    async def build() -> Serving[T]:
        return serving()

    try:
        part = call(build())
        entered = call(_enter(part))
        try:
            yield entered
        finally:
            call(_leave(part))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _enter[T](part: Serving[T]) -> T:
    return await part.__aenter__()


async def _leave(part: Serving[object]) -> None:
    await part.__aexit__(None, None, None)
