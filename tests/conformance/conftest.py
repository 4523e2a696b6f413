"""One broker for all promises, with a clock that can be moved, and the clients that connect to it."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count

import pytest

from local.faults import Faults, read
from local.parts import in_thread
from local.service_bus import Namespace, serve
from local.service_bus.faults import BrokerFaults, BrokerRule
from tests.conformance.clients import Client
from tests.conformance.node_client import node
from tests.conformance.python_clients import asynchronous, blocking

type Open = Callable[[str], AbstractContextManager[Client]]

LANGUAGES: Mapping[str, Open] = {"sync": blocking, "aio": asynchronous, "node": node}
# A queue of its own for each promise of each client, and one for whatever a promise is about.
_KINDS: Mapping[str, Mapping[str, object]] = {
    "plain": {"maxDeliveryCount": 3},
    "detecting": {"requiresDuplicateDetection": True},
    "burying": {"deadLetteringOnMessageExpiration": True, "defaultMessageTimeToLive": "PT30S"},
    "small": {"maxSizeInMegabytes": 1},
    "closed": {"status": "SendDisabled"},
    "shut": {"status": "ReceiveDisabled"},
}
_EACH = 200
_PROCESSES = {"sync": 2, "aio": 2, "node": 1}


@dataclass
class Clock:
    """The broker's clock: the real one, and ahead of it when a promise says so."""

    ahead: float = 0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class Bus:
    """The broker and its clients."""

    connection_string: str
    clock: Clock
    faults: BrokerFaults
    stack: ExitStack
    numbers: dict[str, Iterator[int]] = field(default_factory=lambda: {kind: count() for kind in _KINDS})
    clients: dict[str, Client] = field(default_factory=dict)

    def queue(self, kind: str = "plain") -> str:
        """Return the name of a queue that nobody has used."""
        return f"{kind}-{next(self.numbers[kind])}"

    def client(self, language: str) -> Client:
        """Return the client in a language."""
        if language not in self.clients:
            opened = LANGUAGES[language](self.connection_string)
            self.clients[language] = self.stack.enter_context(opened)
        return self.clients[language]

    def fail(self, **rule: object) -> None:
        """Ask for a fault."""
        self.faults.replace(read(json.dumps([rule]).encode(), BrokerRule))

    def wait(self, seconds: float) -> None:
        """Let time pass for the broker."""
        self.clock.ahead += seconds

    def now(self, later: float = 0) -> datetime:
        """Return the broker's time."""
        return datetime.fromtimestamp(self.clock(), UTC) + timedelta(seconds=later)


def _entities() -> Mapping[str, object]:
    queues = [
        {"name": f"{kind}-{number}", "properties": properties}
        for kind, properties in _KINDS.items()
        for number in range(_EACH)
    ]
    brief = {"defaultMessageTimeToLive": "PT30S", "deadLetteringOnMessageExpiration": True}
    topics = [
        {"name": f"topic-{name}", "subscriptions": [{"name": "one"}, {"name": "two"}]} for name in LANGUAGES
    ] + [
        {"name": f"{kind}-{name}", "subscriptions": [{"name": "brief", "properties": brief}]}
        for name in LANGUAGES
        for kind in ("passing", "planned", "kept")
    ]
    return {"queues": queues, "topics": topics}


@pytest.fixture(scope="session")
def bus() -> Iterator[Bus]:
    """Yield the broker; its clients open with their first use and close in the end."""
    clock, faults = Clock(), Faults[BrokerRule](seed=1)
    namespace = Namespace.from_dict(_entities(), clock=clock)
    with in_thread(partial(serve, namespace, faults=faults)) as environment, ExitStack() as stack:
        yield Bus(environment["ServiceBus"], clock, faults, stack)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a client in one process; part the promises of the Python SDKs, which wait more than they work."""
    for language, halves in _PROCESSES.items():
        own = [item for item in items if _language(item) == language]
        for number, item in enumerate(own):
            item.add_marker(pytest.mark.xdist_group(f"{language}-{number % halves}"))


def _language(item: pytest.Item) -> object:
    return item.callspec.params.get("language") if hasattr(item, "callspec") else None


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    """Return the name of each client in turn."""
    assert isinstance(request.param, str)
    return request.param


@pytest.fixture
def client(bus: Bus, language: str) -> Client:
    """Return each client in turn."""
    return bus.client(language)


@pytest.fixture
def queue(bus: Bus) -> str:
    """Return the name of a queue that gives up after three deliveries."""
    return bus.queue()
