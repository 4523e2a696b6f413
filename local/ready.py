"""Finding the running stack by its ready file."""

import argparse
import json
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
        environment: dict[str, str] = json.loads(file.read_bytes())["environment"]
    except FileNotFoundError:
        sys.exit(f"no stack is running ({file} does not exist): start one with make run")
    return environment
