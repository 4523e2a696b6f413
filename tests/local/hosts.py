"""The Functions host as a program under test, and apps for it."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0


class Host:
    """The host under test, as a program, with what it has said so far."""

    def __init__(self, process: subprocess.Popen[str], stderr: Path) -> None:
        self.process = process
        self._stderr = stderr
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def next_line(self) -> dict[str, Any]:
        """Wait for the next line on standard output."""
        line: dict[str, Any] = json.loads(self._lines.get(timeout=PATIENCE))
        return line

    def is_silent(self) -> bool:
        """Tell whether no line is left to read."""
        return self._lines.empty()

    def stderr(self) -> str:
        """Give all that standard error got so far."""
        return self._stderr.read_text()

    def stop(self) -> int:
        """End it as a person or a supervisor would."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        code = self.process.wait(timeout=PATIENCE)
        self._reader.join()
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)


def an_app(
    folder: Path, code: str, *, calls: int = 4, timeout: str = "00:01:00", renewal: str = "00:01:00"
) -> Path:
    """Write an app and its host.json."""
    service_bus = {"maxConcurrentCalls": calls, "maxAutoLockRenewalDuration": renewal}
    settings = {"functionTimeout": timeout, "extensions": {"serviceBus": service_bus}}
    (folder / "host.json").write_text(json.dumps(settings))
    (folder / "function_app.py").write_text(code)
    return folder


@contextmanager
def running(app: Path, settings: Mapping[str, str], *arguments: str) -> Iterator[Host]:
    """Run the host on an app; it is killed at the end if it still runs."""
    stderr = app / "stderr"
    with (
        stderr.open("w") as file,
        subprocess.Popen(
            [sys.executable, "-m", "local.functions_host", "--port=0", "--app", str(app), *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHON_THREADPOOL_THREAD_COUNT": "8", **settings},
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        ) as process,
    ):
        host = Host(process, stderr)
        try:
            yield host
        finally:
            process.kill()
            host.wait()
