"""``python -m local.look``: what lies in a queue, a dead-letter queue or the ledger of the running stack."""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import requests
from azure.servicebus.exceptions import ServiceBusError

from local import control, ready
from local.bus import Bus

_DEAD = "/$DeadLetterQueue"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one JSON object per message, outcome event or agreement; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m local.look",
        description="Show what lies in a place of the running stack; changes nothing.",
    )
    parser.add_argument("place", help=f"a queue, a queue followed by {_DEAD}, the topic, or ledger")
    ready.add_option(parser)
    options = parser.parse_args(arguments)
    environment = ready.read(options.ready_file)
    try:
        found = _found(options.place, environment)
    except (ServiceBusError, requests.RequestException) as error:
        sys.exit(f"cannot look at {options.place}: {error}")
    for item in found:
        sys.stdout.write(json.dumps(item, ensure_ascii=False) + "\n")
    return 0


def _found(place: str, environment: Mapping[str, str]) -> list[dict[str, object]]:
    if place == "ledger":
        return control.ledger(environment)
    return asyncio.run(_waiting(place, environment))


async def _waiting(place: str, environment: Mapping[str, str]) -> list[dict[str, object]]:
    async with Bus(environment["ServiceBus"]) as opened:
        if place == environment.get("OUTCOMES_TOPIC"):
            return [dict(told.event) for told in await opened.told(place)]
        waiting = await opened.waiting(place.removesuffix(_DEAD), dead=place.endswith(_DEAD))
    return [asdict(message) for message in waiting]


if __name__ == "__main__":
    sys.exit(main())
