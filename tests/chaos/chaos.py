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
from pathlib import Path
from uuid import UUID

from local import bus, control
from local.bus import Bus, Told, Waiting
from tests.chaos.audit import Published, audit, audit_told, told
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


def make_events(chance: random.Random) -> Iterator[Published]:
    """Make the events, each of a customer of its own; one in twenty is published twice."""
    for number in range(EVENTS):
        refused = number % 50 == 0
        customer = f"{chance.getrandbits(28):08x}-{'dead' if refused else 'beef'}-4000-8000-{number:012x}"
        contact = {"firstName": f"Zoë {number}", "lastName": "O'Brien", "email": f"z{number}@contoso.example"}
        event = {"customerTenantId": customer, "dateAgreed": "2026-10-01", "primaryContact": contact}
        for double in range(2 if number % 20 == 7 else 1):
            key = UUID(int=(2 * number + double) << 96 | chance.getrandbits(96), version=4)
            yield Published(str(key), customer, json.dumps(event).encode(), refused)


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
    """Under faults and kills nothing is lost, recorded twice, parked although recorded, or told wrongly."""
    chance = random.Random(SEED)  # noqa: S311 - repeatable, and nothing is kept secret by it
    events = list(make_events(chance))

    async def play(stack: Stack) -> tuple[list[Waiting], list[Told]]:
        async with asyncio.timeout(LONGEST_SECONDS), Bus(stack.environment["ServiceBus"]) as opened:
            await unleash(stack, opened, events, chance)
            return await settled(stack, opened), await opened.told(stack.environment["OUTCOMES_TOPIC"])

    told_file = tmp_path / "told.txt"
    with told_file.open("wb") as steps, empty(tmp_path, "--seed", str(SEED), told=steps) as stack:
        control.set_faults(stack.environment, FAULTS)
        waiting, outcomes = asyncio.run(play(stack))
        ledger, posts = control.ledger(stack.environment), control.posts(stack.environment)
    with told_file.open() as lines:
        doubles = audit(events, waiting, ledger, told(lines))
    told_of = audit_told(events, waiting, ledger, outcomes)
    report = {
        "events": len(events),
        "kills": KILLS,
        "recorded": len(ledger),
        "parked": Counter(f"{message.place}: {message.reason}" for message in waiting),
        "publishedTwice": doubles,
        "told": told_of,
        "postsPerBody": round(sum(body["posts"] for body in posts) / len(posts), 3),
        "mostPostsOfOneBody": max(body["posts"] for body in posts),
        "mostRequestIdsOfOneBody": max(body["requestIds"] for body in posts),
    }
    sys.stdout.write(json.dumps(report) + "\n")
