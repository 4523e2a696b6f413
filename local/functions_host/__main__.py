"""The host as a program: ``python -m local.functions_host``."""

import argparse
import os
import sys
from pathlib import Path

from local import parts
from local.functions_host import HostError, logs, serve

_PORT = 7071
_DESCRIPTION = """\
Run an app's Service Bus queue triggers and timers on this machine, by Microsoft's own Python worker library.
The app's settings are taken from the environment: its own, the connection that its triggers name, and
PYTHON_THREADPOOL_THREAD_COUNT. A message is completed when its function returns and abandoned when it raises.
A timer runs at its time (UTC) while the host is up, and at once on a POST to
$FUNCTIONS_HOST_URL/admin/functions/NAME.
The app's log goes to standard output, the host's own words to standard error; SIGTERM and Ctrl-C let running
calls finish.
"""


def main() -> int:
    """Run the app until told to stop; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.functions_host", description=_DESCRIPTION)
    root = Path(__file__).parents[2]
    parser.add_argument(
        "--app", type=Path, default=root, help="folder of function_app.py (default: this project)"
    )
    parts.add_options(parser, port=_PORT)
    options = parser.parse_args()
    logs.configure()
    try:
        return parts.run(serve(options.app.resolve(), os.environ, port=options.port), options)
    except HostError as error:
        sys.stderr.write(f"host: {error}\n")
        return 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # The interpreter would wait for every thread of the worker's pool, however long its call takes.
    os._exit(code)
