"""Without a token for a while, under load: the product against its stand-ins, minutes of it in seconds."""

import heapq
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID, uuid5

import pytest
import requests
from pydantic import SecretStr

from agreements import queues, settings, wiring
from agreements.auth import Exchange, Tokens
from agreements.deadline import Deadline
from agreements.deliveries import Delivery, RetryKind
from agreements.errors import Reason
from agreements.gate import Gate
from agreements.handler import Handler, Nobody
from agreements.outcomes import Attempt, Confirmed, Outcome, Rejected, Retry
from agreements.partner_center import PartnerCenter
from agreements.queues import QueueNames
from agreements.transport import Timeouts
from local import control
from local.partner_center import serve
from local.parts import in_thread
from tests.fakes import POLICY, body, delivery, received
from tests.test_settings import TokenOnly

# So many seconds of the play pass in one.
SPEED = 300.0
NAMES = QueueNames(retries="agreement-retries", duplicates="duplicates", rejections="rejections")
THREADS = 16
PATIENCE_SECONDS = 120.0


class Clock:
    """A clock that runs faster than the real one, and can be moved ahead."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._began = time.monotonic()
        self._start = datetime.now(UTC)
        self._moved = 1.0

    def __call__(self) -> float:
        """Return the seconds of the play."""
        return (time.monotonic() - self._began) * self._speed + self._moved

    def now(self) -> datetime:
        """Return the wall clock of the play."""
        return self._start + timedelta(seconds=self())

    def move(self, ahead: timedelta) -> None:
        """Let that much time pass at once."""
        self._moved += ahead.total_seconds()

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """Wait for a condition."""
        condition.wait(seconds / self._speed)


@dataclass
class Bus:
    """Queues in memory: deliveries in the order in which they are due; what ended is in ``ended``."""

    clock: Clock
    lock: threading.Lock = field(default_factory=threading.Lock)
    due: list[tuple[float, int, Delivery]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)
    retries: list[tuple[float, Retry]] = field(default_factory=list)
    ended: dict[str, Outcome] = field(default_factory=dict)

    def publish(self, one: Delivery, at: float) -> None:
        """Let a delivery come at some second of the play."""
        with self.lock:
            heapq.heappush(self.due, (at, next(self.numbers), one))

    def take(self) -> Delivery | None:
        """Return what is due, if anything is."""
        with self.lock:
            return heapq.heappop(self.due)[2] if self.due and self.due[0][0] <= self.clock() else None

    def send(self, one: Delivery, attempt: Attempt, outcome: Outcome, deadline: Deadline) -> None:
        """Keep what ended; let a retry come back as the copy that it is."""
        addressed = queues.address(one, attempt, outcome, NAMES)
        if not isinstance(outcome, Retry):
            self.ended[one.origin] = outcome
            return
        assert addressed is not None
        self.retries.append((self.clock(), outcome))
        wait = (outcome.at - self.clock.now()).total_seconds()
        self.publish(received(addressed[1], NAMES.retries), self.clock() + wait)


@dataclass(frozen=True)
class Play:
    """The product with its stand-ins, and a clock by which it runs."""

    environment: Mapping[str, str]
    clock: Clock
    bus: Bus
    partner_center: PartnerCenter
    handler: Handler

    def control(self, part: str, method: str, what: str, document: object = None) -> requests.Response:
        """Steer a stand-in, or ask it what it saw."""
        answer = requests.request(
            method,
            f"{self.environment[part]}/_control/{what}",
            json=document,
            verify=self.environment["REQUESTS_CA_BUNDLE"],
            timeout=10,
        )
        answer.raise_for_status()
        return answer

    def exchanges(self) -> int:
        """Return how often the token endpoint was asked for a token."""
        found = self.control("PARTNER_AUTHORITY_URL", "GET", "exchanges").json()
        return sum(one["count"] for one in found)

    def calls(self) -> dict[tuple[str, int], int]:
        """Return how many calls Partner Center answered, by route and status."""
        found = self.control("PARTNER_CENTER_URL", "GET", "calls").json()["calls"]
        return {(one["method"] + " " + one["route"], one["status"]): one["count"] for one in found}

    def publish(self, events: int, seconds: float) -> None:
        """Publish events, each of a customer of its own, spread over so much of the play."""
        for number in range(events):
            customer = uuid5(UUID(int=1), str(number))
            one = delivery(
                body=body(customerTenantId=str(customer)),
                origin=f"origin-{number}",
                position=f"origin-{number}",
                first_enqueued_time=self.clock.now(),
            )
            self.bus.publish(one, self.clock() + seconds * number / events)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Handle what is due in sixteen threads, as the host does."""
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                if (one := self.bus.take()) is not None:
                    self.handler(one)
                else:
                    stop.wait(0.005)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(PATIENCE_SECONDS)

    def until(self, reached: Callable[[], bool]) -> None:
        """Wait for it."""
        patience = time.monotonic() + PATIENCE_SECONDS
        while not reached():
            assert time.monotonic() < patience, self.bus.retries[-5:]
            time.sleep(0.01)

    def customers(self) -> list[str]:
        """Return whose agreements are on record."""
        return [str(one["customerTenantId"]) for one in control.ledger(self.environment)]


@pytest.fixture
def speed() -> float:
    return SPEED


@pytest.fixture
def play(speed: float, monkeypatch: pytest.MonkeyPatch) -> Iterator[Play]:
    clock = Clock(speed)
    monkeypatch.setattr("agreements.flight.monotonic", clock)
    with in_thread(lambda: serve(credential="managed-identity")) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        given = settings.read(TokenOnly, environment)
        exchange = Exchange(
            wiring.application(given.token).exchange, wiring.refresh_tokens(given.refresh_token, given.token)
        )
        timeouts = Timeouts(connect=10, read=30)
        gate = Gate(clock, clock.wait)
        partner_center = PartnerCenter(environment["PARTNER_CENTER_URL"], Tokens(exchange), timeouts, gate)
        bus = Bus(clock)
        random = iter(_spread())
        handler = Handler(
            confirmations=partner_center,
            records=partner_center,
            outcomes=Nobody(),
            outbox=bus,
            policy=POLICY,
            seconds=120,
            reserve=10,
            now=clock.now,
            random=lambda: next(random),
            pause=lambda _: None,
        )
        yield Play(environment, clock, bus, partner_center, handler)


def _spread() -> Iterator[float]:
    """Yield numbers in [0, 1) that are spread evenly, and the same in every run."""
    for number in count():
        yield number * 0.6180339887498949 % 1


DEAD = "PARTNER_AUTHORITY_URL", {"aadsts": 700082, "times": None}, Reason.REFRESH_TOKEN_EXPIRED
WITHOUT_MFA = (
    "PARTNER_CENTER_URL",
    {"status": 401, "body": {"code": 900421}, "times": None},
    Reason.MFA_MISSING,
)
NO_VAULT = "KEY_VAULT_URL", {"status": 403, "body": {}, "times": None}, Reason.VAULT_REFUSED
NO_NETWORK = "PARTNER_AUTHORITY_URL", {"drop": "before", "times": None}, Reason.TOKEN_ENDPOINT_UNREACHABLE


@pytest.mark.parametrize(
    ("part", "rule", "reason", "moved"),
    [
        (*DEAD, timedelta(0)),
        (*WITHOUT_MFA, timedelta(0)),
        (*NO_VAULT, timedelta(0)),
        (*NO_NETWORK, timedelta(0)),
        (*DEAD, timedelta(hours=25)),
        (*WITHOUT_MFA, timedelta(hours=25)),
    ],
    ids=["dead", "without-mfa", "no-vault", "no-network", "dead-for-25-hours", "without-mfa-for-25-hours"],
)
def test_no_event_is_lost_while_the_token_is_broken(
    play: Play, part: str, rule: dict[str, object], reason: Reason, moved: timedelta
) -> None:
    """Ten minutes without a token, or a day and more: events wait by its reason, then all are confirmed."""
    play.control(part, "PUT", "faults", [rule])
    broken = play.clock()
    play.publish(events=100, seconds=500)
    with play.working():
        play.until(lambda: play.clock() > broken + 300)
        play.clock.move(moved)
        seen = len(play.bus.retries)
        play.until(lambda: play.clock() > broken + moved.total_seconds() + 600)
        if moved:
            play.until(lambda: len(play.bus.retries) > seen + 10)
        answered = play.calls()
        waiting = list(play.bus.retries)
        assert play.bus.ended == {}
        play.control(part, "DELETE", "faults")
        play.until(lambda: len(play.bus.ended) == 100)

    assert waiting
    assert {(retry.kind, retry.reason) for _, retry in waiting} == {(RetryKind.SERVICE, reason)}
    assert set(play.bus.ended.values()) <= {Confirmed(), Confirmed(recovered=True)}
    assert sorted(play.customers()) == sorted(str(uuid5(UUID(int=1), str(n))) for n in range(100))
    if part == "PARTNER_CENTER_URL":
        # One try at a time, with a new token for each: not every delivery of the backlog.
        assert {status for _, status in answered} == {401}
        assert sum(answered.values()) < 80
    else:
        assert answered == {}
        # None of these was an attempt, so that none waits for long once it is mended.
        longest = max((retry.at - at_time(play, at)).total_seconds() for at, retry in waiting)
        assert longest <= 300


def at_time(play: Play, at: float) -> datetime:
    """Return the wall clock of the play at one of its seconds."""
    return play.clock.now() + timedelta(seconds=at - play.clock())


@pytest.mark.parametrize("speed", [1.0])
def test_sixteen_threads_at_start_cause_one_exchange(play: Play) -> None:
    """Whatever comes at once when the app starts, one token is got and the template is looked up once."""
    play.publish(events=64, seconds=0)
    with play.working():
        play.until(lambda: len(play.bus.ended) == 64)
    assert set(play.bus.ended.values()) == {Confirmed()}
    assert play.exchanges() == 1
    assert [number for (route, _), number in play.calls().items() if route.startswith("GET")] == [1]


@pytest.mark.parametrize("speed", [1.0])
def test_a_token_that_ends_under_load_is_renewed_once(play: Play) -> None:
    """When the service refuses the token that all threads hold, one new one serves all; no event waits."""
    play.publish(events=400, seconds=0)
    with play.working():
        play.until(lambda: len(play.bus.ended) > 100)
        play.control("PARTNER_AUTHORITY_URL", "PATCH", "directory", {"clockAheadSeconds": 4000})
        play.until(lambda: len(play.bus.ended) == 400)
    assert set(play.bus.ended.values()) == {Confirmed()}
    assert play.bus.retries == []
    assert play.exchanges() == 2
    assert 1 <= sum(number for (_, status), number in play.calls().items() if status == 401) <= THREADS


def test_another_consent_is_picked_up_without_a_restart(play: Play) -> None:
    """A refresh token that is revoked, and a new one that somebody stored: the events go on by themselves."""
    play.control("PARTNER_AUTHORITY_URL", "DELETE", "refresh-tokens")
    play.publish(events=20, seconds=100)
    with play.working():
        play.until(lambda: len(play.bus.retries) > 0)
        assert play.bus.ended == {}
        new = play.control("PARTNER_AUTHORITY_URL", "POST", "refresh-tokens").json()["refreshToken"]
        given = settings.read(TokenOnly, play.environment)
        vault = wiring.vault(given.refresh_token, given.token)
        expires = datetime.now(UTC) + timedelta(days=90)
        vault.store(SecretStr(new), expires=expires, deadline=Deadline.after(10))
        play.until(lambda: len(play.bus.ended) == 20)
    assert not any(isinstance(outcome, Rejected) for outcome in play.bus.ended.values())
    assert {retry.reason for _, retry in play.bus.retries} == {Reason.REFRESH_TOKEN_REVOKED}
