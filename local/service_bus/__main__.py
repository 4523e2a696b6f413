"""``python -m local.service_bus``: the broker as a program."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from local.parts import add_options, run
from local.service_bus import InvalidEntitiesError, Namespace, serve
from local.service_bus.emulator import config

_PORT = 5672
_ENTITIES = Path(__file__).parents[2] / "infra" / "service-bus.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until stopped; return the exit code: 2 for a bad file of entities, 1 for a port that is taken."""
    options = _parser().parse_args(arguments)
    try:
        namespace = Namespace.from_file(options.entities)
        if options.emulator_config:
            return _print_config(namespace)
    except InvalidEntitiesError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return run(serve(namespace, port=options.port), options)


def _print_config(namespace: Namespace) -> int:
    text = json.dumps(config(namespace, lambda line: sys.stderr.write(f"{line}\n")), indent=2)
    sys.stdout.write(f"{text}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local.service_bus",
        description="A Service Bus for one machine: AMQP 1.0 over plain TCP, everything in memory. "
        "The first line of output is JSON and has the connection string.",
    )
    add_options(parser, port=_PORT)
    parser.add_argument(
        "--entities",
        type=Path,
        default=_ENTITIES,
        metavar="FILE",
        help="JSON with the queues and topics, property names as in Azure Resource Manager "
        "(default infra/service-bus.json)",
    )
    parser.add_argument(
        "--emulator-config",
        action="store_true",
        help="serve nothing: print the Config.json of Microsoft's emulator with these entities, within its "
        "limits; standard error tells what is not as in Azure",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
