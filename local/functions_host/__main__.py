"""The host as a program: ``python -m local.functions_host``."""

import argparse
import json
import os
import sys
from pathlib import Path

from local import parts
from local.functions_host import logs
from local.functions_host.errors import HostError
from local.functions_host.host import serve

_PORT = 7071
_DESCRIPTION = """\
Run an app's Service Bus queue triggers and timers on this machine, by Microsoft's own Python worker library.
The app's settings are taken from the environment: its own, the connection that its triggers name, and
PYTHON_THREADPOOL_THREAD_COUNT. A message is completed when its function returns and abandoned when it raises.
A timer runs at its time (UTC) while the host is up, and at once on a POST to
$FUNCTIONS_HOST_URL/admin/functions/NAME.
The app runs in a process of its own; one that ends, or that ran over functionTimeout and is ended, is
replaced, and the messages of its calls are abandoned.
The app's log goes to standard output, the host's own words to standard error; SIGTERM and Ctrl-C let running
calls finish.
"""


def main() -> int:
    """Run the app until told to stop; the exit code."""
    options = _parser().parse_args()
    logs.configure_host()
    try:
        environ = _settings(options.settings) | os.environ
        return parts.run(serve(options.app.resolve(), environ, port=options.port), options)
    except HostError as error:
        sys.stderr.write(f"host: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local.functions_host",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root = Path(__file__).parents[2]
    parser.add_argument(
        "--app", type=Path, default=root, help="folder of function_app.py (default: this project)"
    )
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="take settings from a local.settings.json too; the environment's own win, as in Core Tools",
    )
    parts.add_options(parser, port=_PORT)
    return parser


def _settings(file: Path | None) -> dict[str, str]:
    """Read a local.settings.json; nothing without one."""
    if file is None:
        return {}
    try:
        return {name: str(value) for name, value in json.loads(file.read_bytes())["Values"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise HostError(f"{file} cannot be used as settings: {error!r}") from error


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Everything is closed; to take the SDK apart would only keep waiting whoever ends us.
    os._exit(code)
