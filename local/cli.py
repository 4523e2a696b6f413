"""``python -m local.cli``: a command of the product, against the running stack."""

import argparse
import os
import sys
from collections.abc import Sequence

from local import ready


def main(arguments: Sequence[str] | None = None) -> None:
    """Become the command, with the settings of the running stack in its environment."""
    parser = argparse.ArgumentParser(
        prog="python -m local.cli",
        description="Run a command of agreements with the settings of the running stack.",
        epilog="Example: python -m local.cli -- --help",
    )
    ready.add_option(parser)
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the command and its options")
    options = parser.parse_args(arguments)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    environment = os.environ | ready.read(options.ready_file)
    os.execve(sys.executable, [sys.executable, "-m", "agreements", *command], environment)  # noqa: S606 - no shell wanted


if __name__ == "__main__":
    main()
