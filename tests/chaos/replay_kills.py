"""A replay that is killed again and again, and an audit of what became of each message.

Sizes come from the environment: ``REPLAY_PARKED``, ``REPLAY_CHOSEN``, ``REPLAY_KILLS``, ``CHAOS_SEED``.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from azure.servicebus import ServiceBusClient, ServiceBusMessage

from agreements import plan_files, settings, toolbox
from agreements.messages import ParkedMessage, Place
from agreements.settings import BusSettings
from local import control
from local.bus import Bus
from tests.chaos.chaos import SEED, settled
from tests.stacks import ROOT, Stack, empty

PARKED = int(os.environ.get("REPLAY_PARKED", "50000"))
CHOSEN = int(os.environ.get("REPLAY_CHOSEN", "10000"))
KILLS = int(os.environ.get("REPLAY_KILLS", "50"))
LONGEST_SECONDS = 3600.0
# Beyond the locks of a run that was killed; a loaded machine also takes long to start a command.
PATIENCE_SECONDS = 70.0
QUEUE = "agreement-rejections"
EVERY = PARKED // CHOSEN
FAULTS = [
    {"method": "POST", "times": None, "probability": 0.02, "status": 500},
    {"method": "POST", "times": None, "probability": 0.02, "drop": "after"},
]


def parked(number: int) -> ServiceBusMessage:
    """Return a message as the app parks it; each of a customer of its own."""
    customer = f"beefbeef-0000-4000-8000-{number:012x}"
    contact = {"firstName": f"Zoë {number}", "lastName": "O'Brien", "email": f"z{number}@contoso.example"}
    event = {"customerTenantId": customer, "dateAgreed": "2026-10-01", "primaryContact": contact}
    return ServiceBusMessage(
        json.dumps(event).encode(),
        content_type="application/json",
        message_id=f"parked-{number}",
        correlation_id=f"abababab-0000-4000-8000-{number:012x}",
        application_properties={
            "mcaReason": "CustomerUnknown" if number % EVERY else "NoRelationship",
            "mcaOrigin": f"agreement-acceptances/{number}/2026-10-01T00:00:00.000Z",
            "mcaCustomerTenantId": customer,
            "mcaEventId": f"event-{number}",
        },
    )


def park(connection_string: str) -> None:
    with (
        ServiceBusClient.from_connection_string(connection_string) as client,
        client.get_queue_sender(QUEUE) as sender,
    ):
        for start in range(0, PARKED, 200):
            messages = [parked(number) for number in range(start, min(start + 200, PARKED))]
            sender.send_messages(messages, timeout=30)


def lying(environment: Mapping[str, str]) -> list[ParkedMessage]:
    at = toolbox.operations(settings.read(BusSettings, environment))
    try:
        return list(at.messages([Place(QUEUE)]))
    finally:
        at.store.close()


class Shell:
    """Runs commands against the stack, each a process of its own."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.environ = {**os.environ, **stack.environment, "XDG_CONFIG_HOME": str(folder)}
        self.told = folder / "commands.txt"

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "agreements", *arguments]
        with self.told.open("ab") as told:
            return subprocess.Popen(command, cwd=ROOT, env=self.environ, stdout=subprocess.PIPE, stderr=told)

    def run(self, *arguments: str) -> bytes:
        with self.start(*arguments) as process:
            out, _ = process.communicate()
        assert process.returncode == 0, (arguments, process.returncode)
        return out

    def kill(self, seconds: float, journal: Path, *arguments: str) -> bool | None:
        """Kill a command some seconds after it began to work, or to wait for locks of one killed before.

        Return whether it had worked; ``None`` if it ended by itself.
        """
        before = _size(journal)
        with self.start(*arguments) as process:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while _size(journal) == before and time.monotonic() < deadline and process.poll() is None:
                time.sleep(0.05)
            worked = _size(journal) != before
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                return worked
        return None


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def test_a_replay_survives_every_kill(tmp_path: Path) -> None:
    """Every chosen event is confirmed once, the others lie where they lay, and the tally is right."""
    chance = random.Random(SEED)  # noqa: S311 - repeatable, and nothing is kept secret by it
    with empty(tmp_path) as stack:
        control.set_faults(stack.environment, FAULTS)
        park(stack.environment["ServiceBus"])
        before = {message.sequence_number: message for message in lying(stack.environment)}
        assert len(before) == PARKED
        shell, plan = Shell(stack, tmp_path), str(tmp_path / "plan.jsonl")
        shell.run("parked", "plan", "--reason", "NoRelationship", "-o", plan)
        # Slowly enough that there is something left to kill.
        rate = f"{CHOSEN / max(KILLS, 1) / 2:g}/s"
        replay = ["parked", "replay", plan, "--why", "a test", "--yes", "--no-check"]
        journal = plan_files.journal_of(Path(plan))
        killed = Counter(
            shell.kill(chance.uniform(0, 3), journal, *replay, "--rate", rate) for _ in range(KILLS)
        )
        kills = killed[True] + killed[False]
        began = time.monotonic()
        tally = json.loads(shell.run(*replay, "--wait"))
        seconds = time.monotonic() - began

        async def rest() -> None:
            async with asyncio.timeout(LONGEST_SECONDS), Bus(stack.environment["ServiceBus"]) as opened:
                await settled(stack, opened)

        asyncio.run(rest())
        after = {message.sequence_number: message for message in lying(stack.environment)}
        ledger = control.ledger(stack.environment)
    audit(before, after, ledger, tally)
    counts = Counter(message.delivery_count for message in after.values())
    assert killed[True] >= KILLS // 2, "too many were killed before they had begun: nothing is proven"
    assert max(counts) <= kills + 1, "a run raises the count of the others by one at most"
    report = {
        "parked": PARKED,
        "chosen": CHOSEN,
        "kills": kills,
        "killedAtWork": killed[True],
        "tally": tally,
        "secondsOfTheLastRun": seconds,
    }
    sys.stdout.write(json.dumps(report | {"highestDeliveryCount": max(counts)}) + "\n")


def audit(
    before: dict[int, ParkedMessage],
    after: dict[int, ParkedMessage],
    ledger: list[dict[str, object]],
    tally: dict[str, object],
) -> None:
    chosen = {number for number, message in before.items() if message.reason == "NoRelationship"}
    customers = {before[number].text("mcaCustomerTenantId") for number in chosen}
    recorded = Counter(str(agreement["customerTenantId"]) for agreement in ledger)
    assert set(recorded) == customers, "recorded are exactly those that were chosen"
    assert set(recorded.values()) == {1}, "and each of them once"
    assert set(after) == set(before) - chosen, "the others lie where they lay"
    assert all(after[number].fingerprint == before[number].fingerprint for number in after), "unchanged"
    assert (tally["confirmed"], tally["underWay"], tally["parkedAgain"]) == (len(chosen), 0, {})
