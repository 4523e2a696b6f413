"""A load of events, seeded faults and kills, and an audit of where each event ended.

Sizes come from the environment: ``CHAOS_EVENTS``, ``CHAOS_KILLS``, ``CHAOS_SEED``.
"""

import asyncio
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from local import bus, control
from local.bus import Bus, Waiting
from tests.stacks import Stack, empty

EVENTS = int(os.environ.get("CHAOS_EVENTS", "10000"))
KILLS = int(os.environ.get("CHAOS_KILLS", "100"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
LONGEST_SECONDS = 1800.0
FAULTS = [
    {"method": "POST", "pathContains": "-dead-", "times": None, "status": 400, "body": {"code": 800002}},
    {"method": "POST", "times": None, "probability": 0.02, "status": 429, "headers": {"Retry-After": "1"}},
    {"method": "POST", "times": None, "probability": 0.05, "status": 500},
    {"method": "POST", "times": None, "probability": 0.03, "drop": "before"},
    {"method": "POST", "times": None, "probability": 0.05, "drop": "after"},
    {"method": "GET", "times": None, "probability": 0.05, "status": 503},
    {"times": None, "probability": 0.05, "delaySeconds": 0.3},
]


@dataclass(frozen=True, slots=True)
class Published:
    """An event as it was published; ``refused`` says that the service refuses this customer's data."""

    correlation_id: str
    customer: str
    body: bytes
    refused: bool


def make_events(chance: random.Random) -> Iterator[Published]:
    """Make the events, each of a customer of its own; one in twenty is published twice."""
    for number in range(EVENTS):
        refused = number % 50 == 0
        customer = f"{chance.getrandbits(28):08x}-{'dead' if refused else 'beef'}-4000-8000-{number:012x}"
        contact = {"firstName": f"Zoë {number}", "lastName": "O'Brien", "email": f"z{number}@contoso.example"}
        event = {"customerTenantId": customer, "dateAgreed": "2026-10-01", "primaryContact": contact}
        for _ in range(2 if number % 20 == 7 else 1):
            key = str(UUID(int=chance.getrandbits(128), version=4))
            yield Published(key, customer, json.dumps(event).encode(), refused)


async def unleash(stack: Stack, opened: Bus, events: list[Published], chance: random.Random) -> None:
    """Publish the events in portions; after each, let the host work for a while and kill it."""
    queue = stack.environment["ACCEPTANCES_QUEUE"]
    portion = -(-len(events) // max(KILLS, 1))
    for start in range(0, len(events), portion):
        part = events[start : start + portion]
        await opened.publish(
            queue,
            [
                bus.message(e.body, message_id="always-the-same", correlation_id=e.correlation_id)
                for e in part
            ],
        )
        if start // portion < KILLS:
            await asyncio.sleep(chance.uniform(0.2, 2.5))
            stack.kill("functions_host")


async def settled(stack: Stack, opened: Bus) -> list[Waiting]:
    """Wait until nothing is on its way; return everything that lies in a queue."""
    environment = stack.environment
    on_their_way = [environment["ACCEPTANCES_QUEUE"], environment["RETRIES_QUEUE"]]
    while not all([await opened.is_empty(queue) for queue in on_their_way]):  # noqa: ASYNC110 - a broker's state
        await asyncio.sleep(0.5)
    queues = [*on_their_way, environment["DUPLICATES_QUEUE"], environment["REJECTIONS_QUEUE"]]
    places = [(queue, dead) for queue in queues for dead in (False, True)]
    return [message for queue, dead in places for message in await opened.waiting(queue, dead=dead)]


def test_every_event_ends_in_exactly_one_place(tmp_path: Path) -> None:
    """Under faults and kills nothing is lost, recorded twice, or parked although it was recorded."""
    chance = random.Random(SEED)  # noqa: S311 - repeatable, and nothing is kept secret by it
    events = list(make_events(chance))

    async def play(stack: Stack) -> list[Waiting]:
        async with asyncio.timeout(LONGEST_SECONDS), Bus(stack.environment["ServiceBus"]) as opened:
            await unleash(stack, opened, events, chance)
            return await settled(stack, opened)

    with (tmp_path / "told.txt").open("wb") as told, empty(tmp_path, "--seed", str(SEED), told=told) as stack:
        control.set_faults(stack.environment, FAULTS)
        waiting = asyncio.run(play(stack))
        ledger, posts = control.ledger(stack.environment), control.posts(stack.environment)
    audit(events, waiting, ledger)
    report = {
        "events": len(events),
        "kills": KILLS,
        "recorded": len(ledger),
        "parked": Counter(f"{message.place}: {message.reason}" for message in waiting),
        "postsPerBody": round(sum(body["posts"] for body in posts) / len(posts), 3),
        "mostPostsOfOneBody": max(body["posts"] for body in posts),
        "mostRequestIdsOfOneBody": max(body["requestIds"] for body in posts),
    }
    sys.stdout.write(json.dumps(report) + "\n")


def audit(events: list[Published], waiting: list[Waiting], ledger: list[dict[str, object]]) -> None:
    lying: dict[str, list[Waiting]] = {}
    for message in waiting:
        lying.setdefault(message.correlation_id, []).append(message)
    recorded = Counter(str(agreement["customerTenantId"]) for agreement in ledger)
    own = {str(agreement["correlationId"]) for agreement in ledger}
    published = Counter(event.customer for event in events)
    good = {event.customer for event in events if not event.refused}
    assert set(recorded) == good, "recorded are exactly those that can be"
    assert set(recorded.values()) == {1}, "and each of them once"
    for event in events:
        parked = lying.get(event.correlation_id, [])
        places = [message.place for message in parked] + ["ledger"] * (event.correlation_id in own)
        if event.refused:
            assert places == ["agreement-rejections"], event.correlation_id
            assert parked[0].reason == "Refused"
        else:
            # A double that was delivered again after a kill finds the record of its twin, and is done.
            assert places in (["ledger"], ["agreement-duplicates"], []), (event.correlation_id, places)
            assert places or published[event.customer] > 1, f"{event.correlation_id} is nowhere"
