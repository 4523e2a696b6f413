"""Starts the parts together, keeps them alive, and ends them together."""

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from local.sign_in import Credential
from local.surroundings import surroundings

ROOT = Path(__file__).resolve().parent.parent
# One that cannot start ends by itself, and is noticed at once: this is for a machine with much else to do.
_START_SECONDS = 120.0
_END_SECONDS = 1.0
# A part that ends by itself without having answered, or sooner than this after its start, is not worth a
# third try; one that somebody killed is, however often.
_STABLE_SECONDS = 1.0
_TRIES = 3
_KILLED = (-signal.SIGKILL, -signal.SIGTERM)

_QUEUES = {
    "ACCEPTANCES_QUEUE": "agreement-acceptances",
    "RETRIES_QUEUE": "agreement-retries",
    "DUPLICATES_QUEUE": "agreement-duplicates",
    "REJECTIONS_QUEUE": "agreement-rejections",
    "OUTCOMES_TOPIC": "agreement-outcomes",
}
# Short retries, so that a person sees the endings; a variable of the same name wins.
_DEFAULTS = {
    "RETRY_BASE_SECONDS": "0.5",
    "RETRY_CAP_SECONDS": "5",
    "SLOW_RETRY_BASE_SECONDS": "2",
    "SLOW_RETRY_CAP_SECONDS": "10",
    "NEW_CUSTOMER_GRACE_SECONDS": "2",
    "PYTHON_THREADPOOL_THREAD_COUNT": "32",
}


# Each part's options that name a port, and the variable by which it tells which one it took.
_PORTS = {
    "service_bus": {"--port": "ServiceBus", "--control-port": "SERVICE_BUS_CONTROL_URL"},
    "partner_center": {
        "--port": "PARTNER_CENTER_URL",
        "--entra-port": "PARTNER_AUTHORITY_URL",
        "--key-vault-port": "KEY_VAULT_URL",
        "--identity-port": "IDENTITY_ENDPOINT",
    },
    "functions_host": {"--port": "FUNCTIONS_HOST_URL"},
}


class StackError(Exception):
    """A part does not start, or does not stay up."""


@dataclass(slots=True)
class Part:
    """One program of the stack; the ports that it took at first it is given again."""

    name: str
    arguments: list[str]
    environ: Mapping[str, str]
    heard: Callable[[str], None] | None = None
    process: asyncio.subprocess.Process | None = None
    reading: asyncio.Task[None] | None = None
    started: float = field(default=0.0)
    answered: bool = field(default=False)
    kept_ports: dict[str, int] = field(default_factory=dict)

    async def start(self) -> dict[str, str]:
        """Start the program and return the environment that leads to it.

        Raises:
            StackError: it ended, or said nothing in time, before it answered.
        """
        self.started, self.answered = monotonic(), False
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"local.{self.name}",
            *self.arguments,
            *(f"{option}={self.kept_ports.get(option, 0)}" for option in _PORTS[self.name]),
            # Its end of input is our end, however we end; a group of its own keeps Ctrl-C for us alone.
            "--until-stdin-closes",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**20,
            cwd=ROOT,
            env=self.environ,
            process_group=0,
        )
        assert self.process.stdout is not None
        announced: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        self.reading = asyncio.create_task(self._read(self.process.stdout, announced))
        either: set[asyncio.Future[Any]] = {announced, self.reading}
        await asyncio.wait(either, timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not announced.done():
            await self.end()
            raise StackError(f"{self.name} did not start: its own words are above")
        self.answered = True
        self._keep_ports(announced.result())
        return announced.result()

    def _keep_ports(self, announced: Mapping[str, str]) -> None:
        for option, name in _PORTS[self.name].items():
            endpoint = announced.get(name, "").split(";")[0].removeprefix("Endpoint=")
            if port := urlsplit(endpoint).port:
                self.kept_ports[option] = port

    async def _read(self, lines: asyncio.StreamReader, announced: asyncio.Future[dict[str, str]]) -> None:
        while line := await lines.readline():
            text = line.decode(errors="replace").rstrip()
            if not announced.done() and (environment := _announcement(text)) is not None:
                announced.set_result(environment)
            elif self.heard is not None:
                self.heard(text)

    async def end(self) -> None:
        """End the program: politely, then not."""
        process = self.process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _END_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


def _announcement(line: str) -> dict[str, str] | None:
    try:
        environment: dict[str, str] = json.loads(line)["environment"]
    except (ValueError, TypeError, LookupError):
        return None
    return environment


def _with_short_locks(folder: Path) -> Path:
    """Write the entities down with a lock that a person can wait for, should the functions host be killed."""
    entities = json.loads((ROOT / "infra" / "service-bus.json").read_bytes())
    for queue in entities["queues"]:
        queue["properties"]["lockDuration"] = "PT10S"
    file = folder / "service-bus.json"
    _write(file, json.dumps(entities, indent=2))
    return file


def _write(file: Path, text: str) -> None:
    """Write a file that only its owner reads, and rename it into place: nobody ever sees half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    number, half = tempfile.mkstemp(prefix=file.name, dir=file.parent)
    with os.fdopen(number, "w") as opened:
        opened.write(text)
    Path(half).replace(file)


class Stack:
    """All parts, as an async context manager; ``environment`` is what leads to them.

    A part that dies is started again on the same ports. What it held in memory is gone: the messages of the
    broker, the ledger of Partner Center; the functions host holds nothing.
    """

    def __init__(
        self,
        *,
        ready_file: Path | None,
        folder: Path,
        seed: int | None,
        credential: Credential,
        partner_center: Sequence[str] = (),
        heard: Callable[[str], None],
        say: Callable[[str], None],
    ) -> None:
        own = _QUEUES | {name: os.environ.get(name, value) for name, value in _DEFAULTS.items()}
        self.environment = own
        self._environ = surroundings() | own
        self._ready_file = ready_file
        self._say = say
        seeding = [] if seed is None else ["--seed", str(seed)]
        entities = ["--entities", str(_with_short_locks(folder))]
        certificates = ["--certificates", str(folder / "certificates")]
        proof = ["--credential", credential]
        chosen = [f"--set={option}" for option in partner_center]
        self._service_bus = Part("service_bus", [*entities, *seeding], self._environ)
        self._partner_center = Part(
            "partner_center", [*certificates, *proof, *seeding, *chosen], self._environ
        )
        self._functions_host = Part("functions_host", [], self._environ, heard)
        self._parts = (self._service_bus, self._partner_center, self._functions_host)

    async def __aenter__(self) -> Self:
        """Start the parts and write the ready file."""
        try:
            for announced in await asyncio.gather(self._service_bus.start(), self._partner_center.start()):
                self.environment.update(announced)
                self._environ.update(announced)
            self.environment.update(await self._functions_host.start())
        except BaseException:
            await self._end()
            raise
        self._write_ready_file()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the parts and remove the ready file."""
        await self._end()

    async def keep_alive(self) -> None:
        """Start again whatever dies, until cancelled.

        Raises:
            StackError: a part cannot be kept alive.
        """
        watching = [asyncio.create_task(self._watch(part)) for part in self._parts]
        try:
            await asyncio.gather(*watching)
        finally:
            for task in watching:
                task.cancel()

    async def _watch(self, part: Part) -> None:
        failures = 0
        while True:
            assert part.process is not None
            code = await part.process.wait()
            stable = part.answered and monotonic() - part.started >= _STABLE_SECONDS
            failures = 0 if stable or code in _KILLED else failures + 1
            if failures == _TRIES:
                raise StackError(f"{part.name} dies as soon as it is started")
            self._say(f"{part.name} ended ({_ending(code)}) and is started again")
            # If it ended before it answered, its end is what comes next.
            with suppress(StackError):
                await part.start()
                self._write_ready_file()

    def _write_ready_file(self) -> None:
        if self._ready_file is None:
            return
        pids = {part.name: part.process.pid for part in self._parts if part.process}
        _write(self._ready_file, json.dumps({"environment": self.environment, "pids": pids}, indent=2) + "\n")

    async def _end(self) -> None:
        # First the one that leans on the others, which would be heard complaining otherwise.
        await self._functions_host.end()
        await asyncio.gather(self._service_bus.end(), self._partner_center.end())
        if self._ready_file is not None:
            self._ready_file.unlink(missing_ok=True)


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
