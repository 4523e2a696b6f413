"""The worker as a process, the calls at once, and the locks meanwhile: by apps that hold their calls."""

import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from local.functions_host.errors import HostError
from local.functions_host.host_json import HostJson
from local.parts import in_thread
from local.service_bus import Namespace, serve
from local.service_bus.entities import State
from local.service_bus.queues import Queue
from tests.local.hosts import PATIENCE, Host, an_app, running

# A message that begins with "hold" holds its first delivery until the gate opens.
APP = """
import json, logging, os, threading
from pathlib import Path
import azure.functions as func

app = func.FunctionApp()
log = logging.getLogger("agreements")

def work(name, message):
    body, count = message.get_body().decode(), message.delivery_count
    log.info(json.dumps({"function": name, "body": body, "count": count, "worker": os.getpid()}))
    if body.startswith("hold") and count == 1:
        Path(os.environ["GATE"]).read_bytes()

@app.service_bus_queue_trigger(
    arg_name="message", connection="ServiceBus", queue_name="one", data_type="binary")
def one(message: func.ServiceBusMessage) -> None:
    work("one", message)

@app.service_bus_queue_trigger(
    arg_name="message", connection="ServiceBus", queue_name="two", data_type="binary")
def two(message: func.ServiceBusMessage) -> None:
    work("two", message)
"""


class Stage:
    """A broker with two queues, the real SDK in front of it, and an app that can be held."""

    def __init__(self, folder: Path, lock: str = "PT1M") -> None:
        properties = {"lockDuration": lock, "maxDeliveryCount": 3}
        queues = [{"name": name, "properties": properties} for name in ("one", "two")]
        self.namespace = Namespace.from_dict({"queues": queues})
        self.folder, self.gate = folder, folder / "gate"
        os.mkfifo(self.gate)

    def locked(self, name: str = "one") -> int:
        """Count the messages of a queue that are in hand."""
        return self.queue(name).count(State.LOCKED)

    def queue(self, name: str = "one") -> Queue:
        queue = self.namespace.find(name)
        assert isinstance(queue, Queue)
        return queue

    def send(self, *bodies: str, queue: str = "one") -> None:
        """Send messages, by the real SDK."""
        with (
            ServiceBusClient.from_connection_string(self.environment["ServiceBus"]) as client,
            client.get_queue_sender(queue) as sender,
        ):
            sender.send_messages([ServiceBusMessage(body) for body in bodies], timeout=PATIENCE)

    def open(self) -> None:
        """Let go whatever is held now."""
        self.gate.write_bytes(b"")

    @contextmanager
    def host(
        self, *, calls: int = 4, timeout: str = "00:01:00", renewal: str = "00:01:00", **settings: str
    ) -> Iterator[Host]:
        """Run the host, from when it has said that it answers."""
        app = an_app(self.folder, APP, calls=calls, timeout=timeout, renewal=renewal)
        given = {**self.environment, "GATE": str(self.gate), **settings}
        with running(app, given) as host:
            assert "environment" in host.next_line()
            yield host

    @contextmanager
    def serving(self) -> Iterator["Stage"]:
        with in_thread(lambda: serve(self.namespace)) as self.environment:
            yield self


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path).serving() as stage:
        yield stage


@pytest.fixture
def short_locks(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path, lock="PT5S").serving() as stage:
        yield stage


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Wait for what another process brings about and nobody tells."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"it never came true that {what}"
        time.sleep(0.01)


def exists(pid: int) -> bool:
    """Tell whether a process runs (Linux: one that ended and was not waited for does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_call_over_function_timeout_ends_the_worker_alone(stage: Stage) -> None:
    """The host goes on with a new worker; what ran in the old one comes again at once, its neighbours too."""
    with stage.host(timeout="00:00:02") as host:
        stage.send("hold")
        stage.send("hold too", queue="two")
        first = [host.next_line() for _ in range(2)]
        again = [host.next_line() for _ in range(2)]
        assert sorted((line["body"], line["count"]) for line in again) == [("hold", 2), ("hold too", 2)]
        assert len({line["worker"] for line in first}) == len({line["worker"] for line in again}) == 1
        assert first[0]["worker"] != again[0]["worker"]
        assert host.process.poll() is None
        assert "ran over functionTimeout on message " in host.stderr()
        assert f"host: worker {first[0]['worker']} ended (signal 9), starting another" in host.stderr()
        assert host.stop() == 0


def test_a_killed_worker_is_replaced(stage: Stage) -> None:
    """As after a crash: the message of a call that died with its worker comes again at once, counted."""
    with stage.host() as host:
        stage.send("hold")
        dead = host.next_line()["worker"]
        os.kill(dead, signal.SIGKILL)
        again = host.next_line()
        assert (again["body"], again["count"]) == ("hold", 2)
        assert again["worker"] != dead
        stage.send("next")
        assert host.next_line()["body"] == "next"
        assert host.stop() == 0
    assert "the worker ended (signal 9) during the call" in host.stderr()


def test_no_worker_outlives_its_host(stage: Stage) -> None:
    """A host that is killed takes its worker along, whatever that is doing."""
    with stage.host() as host:
        stage.send("hold")
        worker = host.next_line()["worker"]
        host.process.kill()
        wait_until(lambda: not exists(worker), "the worker is gone")


def test_a_worker_that_starts_no_more_ends_the_host(stage: Stage) -> None:
    """After three attempts the host ends with the app's own words and exit code 1."""
    with stage.host() as host:
        stage.send("hold")
        worker = host.next_line()["worker"]
        (stage.folder / "function_app.py").write_text("raise RuntimeError('gone')")
        os.kill(worker, signal.SIGKILL)
        assert host.wait() == 1
    assert host.stderr().splitlines()[-1] == "RuntimeError: gone"
    assert host.stderr().count("the worker did not start") == 2


def test_a_host_that_is_still_starting_ends_at_once(stage: Stage) -> None:
    """SIGTERM is heard while no broker answers yet; nothing has to be finished, and no worker is left."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    nobody = re.sub(r":\d+;", f":{port};", stage.environment["ServiceBus"])
    with running(an_app(stage.folder, APP), {"ServiceBus": nobody}) as host:
        wait_until(lambda: "no link to its queue yet" in host.stderr(), "the host looks for its broker")
        [worker] = Path(f"/proc/{host.process.pid}/task/{host.process.pid}/children").read_text().split()
        assert host.stop() == 0
        assert not exists(int(worker))
    assert "no broker answered" not in host.stderr()


def test_the_calls_at_once_are_counted_for_each_function(stage: Stage) -> None:
    """With one call at once, each of two functions has one: a slow queue takes nothing from another."""
    with stage.host(calls=1) as host:
        stage.send("hold", "later")
        stage.send("hold", "later", queue="two")
        assert {host.next_line()["function"] for _ in range(2)} == {"one", "two"}
        assert stage.locked("one") == stage.locked("two") == 1
        stage.open()
        assert {host.next_line()["body"] for _ in range(2)} == {"later"}


def test_calls_beyond_the_threads_wait_in_the_worker(stage: Stage) -> None:
    """Messages that have no thread yet are in hand and locked; a setting says how many threads there are."""
    with stage.host(PYTHON_THREADPOOL_THREAD_COUNT="2") as host:
        stage.send(*["hold"] * 3)
        for _ in range(2):
            host.next_line()
        wait_until(lambda: stage.locked() == 3, "three messages are in hand")
        assert host.is_silent()
        stage.open()
        assert host.next_line()["body"] == "hold"


def test_the_lock_of_a_message_in_hand_is_renewed(short_locks: Stage) -> None:
    """While the function works on, the host renews; the message is not delivered to anybody else."""
    with short_locks.host() as host:
        short_locks.send("hold")
        assert host.next_line()["count"] == 1
        [entry] = short_locks.queue().peek(1, 1)
        first = entry.locked_until
        wait_until(lambda: entry.locked_until > first, "the lock was renewed")
        short_locks.open()
        wait_until(lambda: not list(short_locks.queue().peek(1, 1)), "the message was completed")
        assert host.is_silent()


def test_no_lock_is_renewed_beyond_its_time(short_locks: Stage) -> None:
    """After maxAutoLockRenewalDuration the lock runs out, and the message comes again in the middle of it."""
    with short_locks.host(renewal="00:00:00") as host:
        short_locks.send("hold")
        assert [host.next_line()["count"] for _ in range(2)] == [1, 2]
        short_locks.open()


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"autoCompleteMessages": False}, "autoCompleteMessages"),
        ({"prefetchCount": 10}, "prefetchCount"),
        ({"maxConcurrentCalls": 0}, "0 is not a number of calls"),
        ({"maxAutoLockRenewalDuration": "10 min"}, "'10 min' is not a time span"),
    ],
)
def test_what_host_json_cannot_have_here_is_refused(
    section: Mapping[str, object], told: str, tmp_path: Path
) -> None:
    """A setting that would be ignored, or that the real host does not take, ends the start by its name."""
    (tmp_path / "host.json").write_text(json.dumps({"extensions": {"serviceBus": section}}))
    with pytest.raises(HostError, match=told):
        HostJson.read(tmp_path / "host.json")
