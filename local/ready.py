"""Finding the running stack by its ready file."""

import argparse
import json
import os
import sys
from pathlib import Path


def add_option(parser: argparse.ArgumentParser) -> None:
    """Give a parser the option that names the ready file."""
    parser.add_argument(
        "--ready-file",
        type=Path,
        default=Path(".local/ready.json"),
        metavar="FILE",
        help="where the running stack wrote what leads to it (default .local/ready.json)",
    )


def read(file: Path) -> dict[str, str]:
    """Return the environment of the running stack; exit with advice when there is none."""
    try:
        told = json.loads(file.read_bytes())
    except FileNotFoundError:
        sys.exit(f"no stack is running ({file} does not exist): start one with make run")
    parts = told.get("pids", {}).values()
    if parts and not any(map(_runs, parts)):
        sys.exit(f"the stack that wrote {file} was killed: start another one with make run")
    environment: dict[str, str] = told["environment"]
    return environment


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is somebody else's
        pass
    return True
