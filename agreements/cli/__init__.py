"""The commands, one file per group; no logic.

Data goes to standard output, talk to standard error; ``--json`` prints one object per line.
Exit codes: 0 done, 1 failed, 2 usage, 3 nothing to do, 4 partly done, 5 refused by a guard, 130 interrupted.
"""

import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line."""
    try:
        from agreements.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich"}:
            raise
        sys.exit("the command line needs its extra: pip install 'agreements[cli]'")
    except KeyboardInterrupt:  # loading takes a second, in which somebody may change their mind
        sys.exit(INTERRUPTED)
    app(prog_name="agreements")
