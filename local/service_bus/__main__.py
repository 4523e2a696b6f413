"""``python -m local.service_bus``: the broker as a program."""

import argparse
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from local import tls
from local.faults import Faults
from local.parts import add_options, run
from local.service_bus import InvalidEntitiesError, Namespace, control, serve
from local.service_bus.emulator import config
from local.service_bus.faults import BrokerFaults

_PORT = 5672
_ENTITIES = Path(__file__).parents[2] / "infra" / "service-bus.json"
_DESCRIPTION = """\
A Service Bus for one machine: AMQP 1.0 over plain TCP or TLS, everything in memory.
The first line of output is JSON and has the connection string, and where to ask for faults.
"""
_EPILOG = """\
Faults on request, under $SERVICE_BUS_CONTROL_URL:
  PUT    /_control/faults   a JSON list of rules, tried in order; a request uses up the first it meets
  DELETE /_control/faults   no more faults

A rule, every key optional:
  operation        attach, send, receive, settle or manage: what a client asks for (any)
  entityContains   a part of the address (any)
  times            how many requests it meets; null means no end (1)
  probability      the share of them, from 0 to 1 (1)
  fault            busy: refused as com.microsoft:server-busy; detach: the link ends; silence: the connection
                   says nothing ever after; lose: this request gets no answer (none: it goes through)
  done             true: the work is done all the same, and the fault comes after it (false)

Complete a message and never say so, then be busy for three sends:
  curl -X PUT "$SERVICE_BUS_CONTROL_URL/_control/faults" -d '[
    {"operation": "settle", "fault": "lose", "done": true},
    {"operation": "send", "times": 3, "fault": "busy"}]'
"""


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
    faults: BrokerFaults = Faults(options.seed)
    return run(_serve(namespace, faults, options), options)


@asynccontextmanager
async def _serve(
    namespace: Namespace, faults: BrokerFaults, options: argparse.Namespace
) -> AsyncIterator[Mapping[str, str]]:
    identity = tls.identity(options.tls) if options.tls else None
    context, trust = (identity.context, _trust(identity.bundle)) if identity else (None, {})
    async with (
        serve(namespace, port=options.port, faults=faults, context=context) as environment,
        tls.listening(control.application(faults), None, port=options.control_port) as url,
    ):
        yield {**environment, "SERVICE_BUS_CONTROL_URL": url, **trust}


def _trust(bundle: Path) -> Mapping[str, str]:
    return {"SSL_CERT_FILE": str(bundle), "NODE_EXTRA_CA_CERTS": str(bundle)}


def _print_config(namespace: Namespace) -> int:
    text = json.dumps(config(namespace, lambda line: sys.stderr.write(f"{line}\n")), indent=2)
    sys.stdout.write(f"{text}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local.service_bus",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_EPILOG,
    )
    add_options(parser, port=_PORT)
    parser.add_argument(
        "--control-port",
        type=int,
        default=0,
        help="where faults are asked for; 0 takes a free one (default 0)",
    )
    parser.add_argument(
        "--tls",
        type=Path,
        metavar="DIR",
        help="serve over TLS as Azure does, and keep the certificates in DIR; clients believe them by "
        "$SSL_CERT_FILE and $NODE_EXTRA_CA_CERTS, the Python SDK by connection_verify (only on port 5671)",
    )
    parser.add_argument("--seed", type=int, help="make the chance of faults repeatable")
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
