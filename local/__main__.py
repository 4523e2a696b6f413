"""``python -m local``: everything on one machine."""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from local.partner_center import options as partner_center_options
from local.run import SAMPLES, Event, Options, Run
from local.sign_in import CREDENTIALS
from local.stack import StackError

_DESCRIPTION = """\
Start a Service Bus, a Partner Center and a Functions host on this machine, publish events, and show each
event's way until all have ended. The stack stays up until Ctrl-C. Steps are told on standard error, the
account of all events goes to standard output. The exit code is 0 only if every event is accounted for.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    given = _parser().parse_args(arguments)
    try:
        options = Options(
            events=_lines(given.events) if given.events else _samples(),
            one_by_one=given.events is None,
            faults=[] if given.events else json.loads((SAMPLES / "faults.json").read_bytes()),
            exit_when_idle=given.exit_when_idle,
            as_json=given.json,
            ready_file=given.ready_file,
            seed=given.seed,
            credential=given.credential,
            partner_center=given.partner_center,
        )
        partner_center_options.read(given.partner_center)
    except partner_center_options.InvalidOptionsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        return 2
    try:
        return asyncio.run(Run(options)())
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description=_DESCRIPTION)
    parser.add_argument(
        "--events",
        type=Path,
        metavar="FILE.jsonl",
        help="publish the lines of this file, one event each, instead of the samples",
    )
    parser.add_argument(
        "--exit-when-idle", action="store_true", help="end when no event is on its way any more"
    )
    parser.add_argument("--json", action="store_true", help="print the account as one JSON object")
    parser.add_argument("--ready-file", type=Path, metavar="FILE", help="write here what leads to the parts")
    parser.add_argument("--seed", type=int, metavar="N", help="make the chance of faults repeatable")
    parser.add_argument(
        "--credential",
        choices=CREDENTIALS,
        default=CREDENTIALS[0],
        help="what the app proves itself by to Entra: as in Azure (the default), by a certificate, or by a"
        " secret, which brings its refresh token from the environment instead of Key Vault",
    )
    parser.add_argument(
        "--partner-center",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="choose a rule of Partner Center that no page tells, such as callsPerSecond=5; again for"
        " another; python -m local.partner_center --help lists them",
    )
    return parser


def _samples() -> list[Event]:
    return [Event(file.stem, file.read_bytes()) for file in sorted(SAMPLES.glob("[0-9]*.json"))]


def _lines(file: Path) -> list[Event]:
    lines = file.read_bytes().splitlines()
    return [Event(f"line {number}", line) for number, line in enumerate(lines, 1) if line.strip()]


if __name__ == "__main__":
    sys.exit(main())
