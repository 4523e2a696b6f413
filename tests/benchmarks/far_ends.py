"""The stand-ins as programs of their own, so that their work is not counted as ours."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FREE_PORTS = ("--entra-port=0", "--key-vault-port=0", "--identity-port=0")


@contextmanager
def program(name: str, *arguments: str) -> Iterator[tuple[Mapping[str, str], int]]:
    """Run a part on free ports; yield what leads to it and its pid."""
    with subprocess.Popen(
        [sys.executable, "-m", f"local.{name}", "--until-stdin-closes", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        environment: dict[str, str] = json.loads(process.stdout.readline())["environment"]
        try:
            yield environment, process.pid
        finally:
            process.communicate()


@contextmanager
def partner_center() -> Iterator[Mapping[str, str]]:
    """Run Partner Center and let this process trust it."""
    with program("partner_center", "--port=0", *FREE_PORTS) as (environment, _):
        os.environ["REQUESTS_CA_BUNDLE"] = environment["REQUESTS_CA_BUNDLE"]
        yield environment


def cpu_seconds(pid: int) -> float:
    """Return the processor time that another process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """Return how many bytes of memory another process uses (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
