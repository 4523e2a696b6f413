"""``python -m local.within COMMAND``: run a command with the environment that leads to the running stack."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from local import ready
from local.surroundings import surroundings

_DESCRIPTION = """\
Run a command with the settings of the running stack, as the function app has them; for example
python -m local.within agreements doctor. The exit code is the command's.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Become the command; return an exit code only if there is no such command."""
    parser = argparse.ArgumentParser(prog="python -m local.within", description=_DESCRIPTION)
    ready.add_option(parser)
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="with its arguments")
    given = parser.parse_args(arguments)
    if not given.command:
        parser.error("say which command")
    environ = surroundings() | ready.read(given.ready_file)
    # The project's own commands lie beside its interpreter.
    environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environ.get("PATH", "")])
    try:
        os.execvpe(given.command[0], given.command, environ)  # noqa: S606 - no shell is what is wanted
    except OSError as error:
        sys.stderr.write(f"{given.command[0]}: {error.strerror}\n")
    return 127


if __name__ == "__main__":
    sys.exit(main())
