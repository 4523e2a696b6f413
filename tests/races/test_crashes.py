"""The Functions host is killed at the worst moment; started again, it ends every event in one place."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from local.service_bus.entities import Entity
from local.service_bus.message import Message
from tests.races import stage as stages
from tests.races.stage import (
    ACCEPTANCES,
    DUPLICATES,
    LOCK_SECONDS,
    REJECTIONS,
    RETRIES,
    RETRY_SECONDS,
    ROOT,
    TOPIC,
    Stage,
)

RECORDED, RECOVERED = "Confirmed", "Confirmed (recovered)"
_SECONDS = 30.0


class Host:
    """The Functions host as a program, which can be killed and started again; ``lines`` is its app's log."""

    def __init__(self, stage: Stage) -> None:
        self._environment = {
            **os.environ,
            **stage.environment,
            **{f"{name}_QUEUE": f"agreement-{name.lower()}" for name in ("ACCEPTANCES", "RETRIES")},
            "PYTHON_THREADPOOL_THREAD_COUNT": "32",
        }
        self._process: subprocess.Popen[str] | None = None
        self._reading: threading.Thread | None = None
        self.lines: list[str] = []

    def start(self) -> None:
        """Start it, if it does not run, and wait until it listens."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "local.functions_host", "--port=0", "--until-stdin-closes"],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert self._process.stdout is not None
            assert "environment" in self._process.stdout.readline(), "the host did not start"
            self._reading = threading.Thread(target=self._read, args=(self._process.stdout,))
            self._reading.start()

    def _read(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.lines.append(line)

    def kill(self) -> None:
        """Kill it at once and its worker with it, as the end of a machine does, from whatever thread."""
        assert self._process is not None
        pid = self._process.pid
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (pid, *map(int, workers)):
            os.kill(each, signal.SIGKILL)

    def wait(self) -> None:
        """Wait until it is dead, and all that it told is known."""
        assert self._process is not None
        assert self._reading is not None
        assert self._process.wait(_SECONDS) == -signal.SIGKILL
        self._reading.join(_SECONDS)
        with self._process:  # closes the pipes
            self._process = None

    def told(self, correlation_id: str) -> Counter[str]:
        """Return what the log told of an event."""
        lines = [json.loads(line) for line in self.lines if line.startswith("{")]
        return Counter(stages.outcome(line) for line in lines if line.get("correlationId") == correlation_id)


@pytest.fixture(scope="module")
def shared_host(shared: Stage) -> Iterator[Host]:
    """Let a host be used by all tests: each start takes seconds."""
    host = Host(shared)
    yield host
    host.start()
    host.kill()
    host.wait()


@pytest.fixture
def host(stage: Stage, shared_host: Host) -> Host:
    """Give a test a host that listens, on a stage in order."""
    shared_host.start()
    return shared_host


@pytest.fixture
def customer() -> UUID:
    """A customer of the test's own."""
    return uuid4()


def finish(stage: Stage, host: Host) -> None:
    """Start the host again, let what it had locked be delivered again, then what is scheduled."""
    stage.clock.ahead += LOCK_SECONDS
    host.start()
    empty(stage, ACCEPTANCES)
    stage.clock.ahead += RETRY_SECONDS
    empty(stage, RETRIES)


def empty(stage: Stage, queue: str) -> None:
    """Wait until nothing is in a queue."""
    until(lambda: stage.is_empty(queue), f"messages are still in {queue}")


def until(condition: Callable[[], bool], otherwise: str) -> None:
    """Wait for what another process does."""
    deadline = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)


def assert_told(host: Host, event: str, *expected: str) -> None:
    """Check what the log told of an event: it was written before the message was completed."""
    until(lambda: host.told(event).total() >= len(expected), f"told too little: {host.told(event)}")
    assert host.told(event) == Counter(expected)


def kill_when_sent(host: Host, entity: Entity, patch: pytest.MonkeyPatch) -> threading.Event:
    """Kill the host as soon as the first message has arrived in a queue, before it can know that."""
    send, killed = entity.send, threading.Event()

    def last_of_all(messages: Iterable[Message]) -> list[int]:
        numbers = send(messages)
        if not killed.is_set():
            host.kill()
            killed.set()
        return numbers

    patch.setattr(entity, "send", last_of_all)
    return killed


def test_a_crash_after_the_post_before_the_send(stage: Stage, host: Host, customer: UUID) -> None:
    """What was recorded just before the host died is recognised as ours, and not posted again."""
    posts = stage.posts()
    with stage.holds.call("POST", str(customer), done=True) as post:
        event = stage.publish(customer)
        post.wait()
        assert len(stage.recorded(customer)) == 1
        host.kill()
        host.wait()
    finish(stage, host)
    assert_told(host, event, RECOVERED)
    assert stage.places(event) == ["ledger"]
    assert stage.outcomes(event) == ["recovered"]
    assert len(stage.recorded(customer)) == 1
    assert stage.posts() == posts + 1


def twin(stage: Stage, customer: UUID) -> None:
    stage.publish(customer)


def corrected(stage: Stage, customer: UUID) -> None:
    stage.publish(customer, dateAgreed="2020-02-01")


def fails(times: int) -> Callable[[Stage, UUID], None]:
    def fault(stage: Stage, customer: UUID) -> None:
        later = {"status": 503, "headers": {"Retry-After": "600"}}
        stage.set_faults({"method": "POST", "pathContains": str(customer), "times": times, **later})

    return fault


def refused(stage: Stage, customer: UUID) -> None:
    answer = {"status": 400, "body": {"code": 800002}}
    stage.set_faults({"method": "POST", "pathContains": str(customer), "times": None, **answer})


def nothing(stage: Stage, customer: UUID) -> None:
    pass


DELAYED = "delayed: Unavailable"


@pytest.mark.parametrize(
    ("before", "queue", "told", "places", "outcomes"),
    [
        pytest.param(
            fails(1),
            RETRIES,
            [RECORDED, RECOVERED],
            ["ledger"],
            [DELAYED, "confirmed"],
            id="retry-beside-a-success",
        ),
        pytest.param(
            fails(2),
            RETRIES,
            ["Retry: Unavailable", RECORDED],
            ["ledger"],
            [DELAYED, "confirmed"],
            id="retry-and-again-a-retry",
        ),
        pytest.param(
            twin,
            DUPLICATES,
            [RECOVERED],
            [f"{DUPLICATES}: AlreadyRecorded"],
            ["duplicate: AlreadyRecorded"],
            id="same-duplicate",
        ),
        pytest.param(
            corrected,
            DUPLICATES,
            ["Duplicate: OtherRecorded"],
            [f"{DUPLICATES}: OtherRecorded"],
            ["duplicate: OtherRecorded"],
            id="other-duplicate",
        ),
        pytest.param(
            refused,
            REJECTIONS,
            ["Rejected: Refused"],
            [f"{REJECTIONS}: Refused"],
            ["rejected: Refused"],
            id="rejection",
        ),
    ],
)
def test_a_crash_after_the_send_before_the_complete(
    stage: Stage,
    host: Host,
    customer: UUID,
    before: Callable[[Stage, UUID], None],
    queue: str,
    told: list[str],
    places: list[str],
    outcomes: list[str],
) -> None:
    """What was sent just before the host died is not sent or told twice, nor is anything recorded twice."""
    event = killed_when_sent(stage, host, customer, before, queue)
    assert_told(host, event, *told)
    assert stage.places(event) == places
    assert stage.outcomes(event) == outcomes


@pytest.mark.parametrize(
    ("before", "told", "places", "outcomes"),
    [
        pytest.param(nothing, [RECOVERED], ["ledger"], ["confirmed"], id="confirmed"),
        pytest.param(fails(1), [RECORDED], ["ledger"], [DELAYED, "confirmed"], id="delayed"),
        pytest.param(
            fails(2), ["Retry: Unavailable", RECORDED], ["ledger"], [DELAYED, "confirmed"], id="delayed-twice"
        ),
        # It is on record by its twin, which is all that was told; there is nothing left to park.
        pytest.param(twin, [RECOVERED], [], ["duplicate: AlreadyRecorded"], id="same-duplicate"),
        pytest.param(
            corrected,
            ["Duplicate: OtherRecorded"],
            [f"{DUPLICATES}: OtherRecorded"],
            ["duplicate: OtherRecorded"],
            id="other-duplicate",
        ),
        pytest.param(
            refused,
            ["Rejected: Refused"],
            [f"{REJECTIONS}: Refused"],
            ["rejected: Refused"],
            id="rejection",
        ),
    ],
)
def test_a_crash_after_the_telling_before_the_send(
    stage: Stage,
    host: Host,
    customer: UUID,
    before: Callable[[Stage, UUID], None],
    told: list[str],
    places: list[str],
    outcomes: list[str],
) -> None:
    """What was told just before the host died becomes so, and is not told a second time."""
    event = killed_when_sent(stage, host, customer, before, TOPIC)
    assert_told(host, event, *told)
    assert stage.places(event) == places
    assert stage.outcomes(event) == outcomes


def killed_when_sent(
    stage: Stage, host: Host, customer: UUID, before: Callable[[Stage, UUID], None], to: str
) -> str:
    """Publish an event, kill the host by what it sends for it, and let the next one finish."""
    before(stage, customer)
    empty(stage, ACCEPTANCES)
    records = len(stage.recorded(customer))
    with pytest.MonkeyPatch.context() as patch:
        killed = kill_when_sent(host, stage.entity(to), patch)
        event = stage.publish(customer)
        assert killed.wait(_SECONDS), f"nothing was sent to {to}"
        host.wait()
    finish(stage, host)
    assert len(stage.recorded(customer)) == records + ("ledger" in stage.places(event))
    return event
