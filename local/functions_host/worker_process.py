"""The worker as the host sees it: a process that is given calls, that may die, and that is then replaced."""

import asyncio
import logging
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Self

from local.functions_host import protocol
from local.functions_host.errors import HostError
from local.functions_host.protocol import Failure, IndexedFunction, Invocation

# The real host's own limit for a worker's start.
_START_SECONDS = 60.0
_END_SECONDS = 1.0
_TRIES = 3
_PAUSE_SECONDS = 0.5

_log = logging.getLogger(__name__)


class WorkerProcess:
    """One life of the worker, from its start to its end."""

    def __init__(self, process: asyncio.subprocess.Process, writer: asyncio.StreamWriter) -> None:
        self.functions: Sequence[IndexedFunction] = ()
        self.pid = process.pid
        self._process, self._writer = process, writer
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Failure | None]] = {}
        self._end: Failure | None = None

    @classmethod
    async def start(cls, app: Path, environ: Mapping[str, str]) -> tuple[Self, asyncio.Task[str]]:
        """Start a worker on an app; return it, and what ends with it, in a word for a person.

        Raises:
            HostError: The app cannot be loaded.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-u",
                "-m",
                "local.functions_host.worker",
                str(theirs.fileno()),
                str(app),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=environ,
                # Ctrl-C and a supervisor's signal to the group are the host's to hear.
                process_group=0,
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        started = cls(process, writer)
        frames = protocol.frames(reader)
        try:
            async with asyncio.timeout(_START_SECONDS):
                started.functions = _functions(await anext(frames, {}))
        except BaseException as error:
            await started.close()
            if isinstance(error, TimeoutError):
                raise HostError(f"the app was not loaded within {_START_SECONDS:.0f} s") from None
            raise
        return started, asyncio.create_task(started._read(frames))

    async def invoke(self, invocation: Invocation) -> Failure | None:
        """Have a function called; tell how the call failed, be it with the worker itself."""
        if self._end:
            return self._end
        number, answer = next(self._numbers), asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._writer.write(protocol.frame(call=number, invocation=invocation.document))
        try:
            failure: Failure | None = await answer
        finally:
            del self._waiting[number]
        return failure

    def kill(self) -> None:
        """End the process, whatever it does."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def close(self) -> None:
        """Hang up, and wait for the end, which is not long to wait for."""
        self._writer.close()
        try:
            await asyncio.wait_for(self._process.wait(), _END_SECONDS)
        except TimeoutError:
            self.kill()
            await self._process.wait()

    async def _read(self, frames: AsyncIterator[dict[str, Any]]) -> str:
        """Hand over answers until there are no more; return how the process ended."""
        async for said in frames:
            answer = self._waiting.get(said["call"])
            # A call that ran out of time in this very moment is waited for no more.
            if answer is not None and not answer.done():
                answer.set_result(said["failure"] and Failure(**said["failure"]))
        ending = _ending(await self._process.wait())
        self._end = Failure(f"the worker ended ({ending})", f"the worker ended ({ending}) during the call")
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_result(self._end)
        self._writer.close()
        return ending


class Worker:
    """The worker that there is at the time: when one dies, another takes its place."""

    def __init__(self, app: Path, environ: Mapping[str, str]) -> None:
        self._app, self._environ = app, environ
        self._up = asyncio.Event()

    async def start(self) -> Sequence[IndexedFunction]:
        """Start the first one; return the functions of the app.

        Raises:
            HostError: The app cannot be loaded.
        """
        self._process, self._ending = await WorkerProcess.start(self._app, self._environ)
        self._up.set()
        return self._process.functions

    async def process(self) -> WorkerProcess:
        """Return the worker that runs, once one does."""
        await self._up.wait()
        return self._process

    async def keep_running(self) -> None:
        """Replace each worker that ends, until cancelled.

        Raises:
            HostError: The app cannot be loaded any more, however often it is tried.
        """
        while True:
            ending = await asyncio.shield(self._ending)
            self._up.clear()
            _log.error("worker %d ended (%s), starting another", self._process.pid, ending)
            await self._replace()
            _log.info("worker %d has taken over", self._process.pid)

    async def close(self) -> None:
        """End the one that runs."""
        await self._process.close()
        await self._ending

    async def _replace(self) -> None:
        for left in reversed(range(_TRIES)):
            try:
                await self.start()
            except HostError as error:
                if not left:
                    raise
                _log.error("the worker did not start: %s", error)
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return


def _functions(first: Mapping[str, Any]) -> list[IndexedFunction]:
    """Read a worker's first frame."""
    if "functions" not in first:
        raise HostError(first.get("error", "the worker ended while it loaded the app"))
    return [IndexedFunction(**function) for function in first["functions"]]


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
