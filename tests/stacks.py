"""The whole stack as a program, as a newcomer starts it; shared by the suites that need one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent
# One that cannot start ends by itself, and is noticed at once: this is for a machine with much else to do.
_START_SECONDS = 600.0
_END_SECONDS = 20.0


class Stack:
    """A running stack: what leads to it, and how to hurt it."""

    def __init__(self, process: subprocess.Popen[str], ready_file: Path) -> None:
        self.process = process
        self.ready_file = ready_file

    @property
    def environment(self) -> Mapping[str, str]:
        environment: dict[str, str] = json.loads(self.ready_file.read_text())["environment"]
        return environment

    @property
    def pids(self) -> dict[str, int]:
        pids: dict[str, int] = json.loads(self.ready_file.read_text())["pids"]
        return pids

    def kill(self, part: str) -> None:
        """Kill a part; it may be gone already, and not yet be back."""
        with suppress(ProcessLookupError):
            os.kill(self.pids[part], signal.SIGKILL)

    def wait_until_ready(self) -> None:
        """Wait until every part answers."""
        deadline = time.monotonic() + _START_SECONDS
        while not self.ready_file.exists():
            assert self.process.poll() is None, "the stack did not start"
            assert time.monotonic() < deadline, "the stack is not ready"
            time.sleep(0.05)


@contextmanager
def started(
    folder: Path, *arguments: str, told: IO[bytes] | int = subprocess.DEVNULL, **environ: str
) -> Iterator[Stack]:
    """Start a stack; what it tells goes to ``told``, and its standard output too if both are pipes."""
    ready_file = folder / "ready.json"
    with subprocess.Popen(
        [sys.executable, "-m", "local", "--ready-file", str(ready_file), *arguments],
        cwd=ROOT,
        env=os.environ | environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if told == subprocess.PIPE else subprocess.DEVNULL,
        stderr=told,
        text=True,
    ) as process:
        try:
            yield Stack(process, ready_file)
        finally:
            _end(process)


@contextmanager
def empty(folder: Path, *arguments: str, told: IO[bytes] | int = subprocess.DEVNULL) -> Iterator[Stack]:
    """Start a stack that publishes nothing by itself, and wait until it is ready."""
    nothing = folder / "none.jsonl"
    nothing.touch()
    with started(folder, "--events", str(nothing), *arguments, told=told) as stack:
        stack.wait_until_ready()
        yield stack


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
