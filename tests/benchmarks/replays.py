"""Replaying: how fast, against the same done with the SDK alone; and what memory it takes for many.

The SDK's way is the one its documentation leads to: receive a hundred, send their copies as a list, complete
each. Both open their connections and close them within what is measured.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusReceivedMessage

from agreements import links, settings, toolbox
from agreements.dead_letters import Action, Plan
from agreements.messages import Place
from agreements.pacing import Pace
from agreements.selection import Selection
from agreements.settings import BusSettings
from tests.benchmarks.far_ends import ROOT, program
from tests.benchmarks.figures import Figure, side_by_side

MESSAGES = 10_000
ROUNDS = 3
FEW, MANY = 1000, 100_000
SECONDS = 30.0
FROM, TO = "agreement-rejections", "agreement-acceptances"
EVENT = {
    "dateAgreed": "2018-06-14",
    "primaryContact": {"firstName": "Tania", "lastName": "Carr", "email": "someone@example.com"},
}


def measure() -> list[Figure]:
    """Measure the rate, and the peak of memory of whole processes."""
    with program("service_bus", "--port=0") as (environment, _):
        rate = side_by_side(
            "replay-rate-to-sdk-loop",
            ">= 0.8",
            "messages per second",
            lambda: _ours(environment),
            lambda: _theirs(environment),
            rounds=ROUNDS,
        )
    few, many = _megabytes(FEW), _megabytes(MANY)
    memory = Figure(
        name=f"replay-memory-at-{MANY}-to-{FEW}",
        ratio=many / few,
        target="<= 1.1",
        ours=many,
        theirs=few,
        unit="megabytes at the peak, planning and replaying every second message",
    )
    return [rate, memory]


def _park(environment: Mapping[str, str], count: int) -> None:
    with (
        ServiceBusClient.from_connection_string(environment["ServiceBus"]) as client,
        client.get_queue_sender(FROM) as sender,
    ):
        for start in range(0, count, 200):
            sender.send_messages([_parked(number) for number in range(start, start + 200)], timeout=SECONDS)


def _parked(number: int) -> ServiceBusMessage:
    reason = "Refused" if number % 2 else "NoRelationship"
    customer = f"14876998-c0dc-46e6-9d0c-{number:012x}"
    return ServiceBusMessage(
        json.dumps({"customerTenantId": customer, **EVENT}).encode(),
        content_type="application/json",
        correlation_id="ab993325-1605-4cf4-bac4-fb584142a31b",
        message_id=f"{time.monotonic_ns()}-{number}",
        application_properties={
            "mcaReason": reason,
            "mcaReplay": 0,
            "mcaOrigin": f"{TO}/{number}/x",
            "mcaEventId": f"event-{number}",
        },
    )


def _replay(environment: Mapping[str, str], folder: Path, **filters: Any) -> float:
    """Plan, then apply; return the seconds that applying took."""
    at = toolbox.operations(settings.read(BusSettings, environment))
    at.plan(
        folder / "plan", Action.REPLAY, at.messages([Place(FROM)]), Selection(**filters), told=folder.name
    )
    began = time.perf_counter()
    at.apply(
        Plan(folder / "plan"),
        why="a benchmark",
        pace=Pace(),
        audit_file=folder / "audit",
        told=lambda _: None,
        stopping=lambda: False,
    )
    at.store.close()
    return time.perf_counter() - began


def _ours(environment: Mapping[str, str]) -> float:
    _park(environment, MESSAGES)
    with TemporaryDirectory() as folder:
        return MESSAGES / _replay(environment, Path(folder))


def _theirs(environment: Mapping[str, str]) -> float:
    _park(environment, MESSAGES)
    began, left = time.perf_counter(), MESSAGES
    with (
        ServiceBusClient.from_connection_string(environment["ServiceBus"]) as client,
        # As the SDK is, two messages now and then get one lock token: the second is "settled already".
        links.alone(client.get_queue_receiver(FROM)) as receiver,
        client.get_queue_sender(TO) as sender,
    ):
        while left:
            page = receiver.receive_messages(100, max_wait_time=SECONDS)
            sender.send_messages([_copy(message) for message in page], timeout=SECONDS)
            for message in page:
                receiver.complete_message(message)
            left -= len(page)
    return MESSAGES / (time.perf_counter() - began)


def _copy(message: ServiceBusReceivedMessage) -> ServiceBusMessage:
    return ServiceBusMessage(
        b"".join(cast("Any", message.body)),
        application_properties=message.application_properties,
        content_type=message.content_type,
        correlation_id=message.correlation_id,
        message_id=f"{message.message_id}-again",
    )


def _megabytes(count: int) -> float:
    with program("service_bus", "--port=0") as (environment, _):
        _park(environment, count)
        code = "from tests.benchmarks import replays; replays.one_process()"
        ran = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        )
    return int(ran.stdout) / 1024


def one_process() -> None:
    """Plan and replay every second message of what waits; print the peak of memory, in kilobytes."""
    with TemporaryDirectory() as folder:
        _replay(os.environ, Path(folder), reasons=frozenset({"refused"}))
    sys.stdout.write(str(_peak()))


def _peak() -> int:
    """Return the most memory that this process had, in kilobytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # What getrusage tells begins with what the process had that started this one.
        [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
