"""How many events a second the whole local stack confirms, against loops that only call the API.

The API takes 100 ms to answer a confirmation, and all have 16 calls under way.
"""

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import requests

from local import bus, control
from local.bus import Bus
from tests.benchmarks.cpu import CONTACT, TEMPLATE, token
from tests.benchmarks.figures import Figure, side_by_side
from tests.stacks import empty

EVENTS = 480
CALLS = 16
LONGEST_SECONDS = 60.0
SLOW = [{"method": "POST", "pathContains": "/v1/customers/", "times": None, "delaySeconds": 0.1}]


def measure() -> list[Figure]:
    """Measure the stack against a bare loop, and against the documented steps done literally."""
    with _stack() as environment:
        control.set_faults(environment, SLOW)
        _stack_rate(environment)  # the first has the token and the templates to fetch
        bare, literal = _Bare(environment), _Literal(environment)
        return [
            side_by_side(
                "stack-rate-to-bare-posts",
                ">= 0.95",
                "events per second",
                lambda: _stack_rate(environment),
                lambda: _rate(bare),
                rounds=5,
            ),
            side_by_side(
                "stack-rate-to-literal-steps",
                ">= 5",
                "events per second",
                lambda: _stack_rate(environment),
                lambda: _rate(literal),
                rounds=3,
            ),
        ]


@contextmanager
def _stack() -> Iterator[Mapping[str, str]]:
    with TemporaryDirectory() as folder, empty(Path(folder), "--credential", "secret") as stack:
        # A session's own choice would give way to that of the surroundings.
        os.environ["REQUESTS_CA_BUNDLE"] = stack.environment["REQUESTS_CA_BUNDLE"]
        yield stack.environment


def _stack_rate(environment: Mapping[str, str]) -> float:
    """Publish the events at once; count from the first record to the last."""
    before = len(control.ledger(environment))

    async def publish() -> None:
        messages = [
            bus.message(json.dumps(_event()).encode(), message_id=str(uuid4()), correlation_id=str(uuid4()))
            for _ in range(EVENTS)
        ]
        async with Bus(environment["ServiceBus"]) as opened:
            await opened.publish(environment["ACCEPTANCES_QUEUE"], messages)

    asyncio.run(publish())
    deadline = time.monotonic() + LONGEST_SECONDS
    while len(records := control.ledger(environment)) < before + EVENTS:
        assert time.monotonic() < deadline, "not all events were recorded"
        time.sleep(0.2)
    at = sorted(str(record["recordedAt"]) for record in records[before:])
    seconds = [
        time.mktime(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) + float(f"0.{text[20:26]}") for text in at
    ]
    return (EVENTS - CALLS) / (seconds[-1] - seconds[CALLS - 1])


def _rate(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(CALLS) as pool:
        for done in [pool.submit(call) for _ in range(EVENTS)]:
            done.result()
    return EVENTS / (time.perf_counter() - began)


class _Bare:
    """POSTs and nothing else, over kept connections and with one token."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._token = token(environment)
        self._thread = threading.local()

    def __call__(self) -> None:
        if not hasattr(self._thread, "session"):
            self._thread.session = requests.Session()
        _post(self._thread.session, self._environment, self._token)


class _Literal:
    """The steps of the API page for each event: token, metadata, POST, each over a new connection."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def __call__(self) -> None:
        bearer = token(self._environment)
        requests.get(
            f"{self._environment['PARTNER_CENTER_URL']}/v1/agreements",
            params={"agreementType": "MicrosoftCustomerAgreement"},
            headers={"Authorization": f"Bearer {bearer}"},
            timeout=30,
        ).raise_for_status()
        with requests.Session() as session:
            _post(session, self._environment, bearer)


def _post(session: requests.Session, environment: Mapping[str, str], bearer: str) -> None:
    event = _event()
    body = {**event, "templateId": TEMPLATE, "type": "MicrosoftCustomerAgreement"}
    answer = session.post(
        f"{environment['PARTNER_CENTER_URL']}/v1/customers/{body.pop('customerTenantId')}/agreements",
        json=body,
        headers={"Authorization": f"Bearer {bearer}"},
        timeout=30,
    )
    assert answer.status_code == requests.codes.created


def _event() -> dict[str, object]:
    return {"customerTenantId": str(uuid4()), "dateAgreed": "2026-10-01T00:00:00Z", "primaryContact": CONTACT}
