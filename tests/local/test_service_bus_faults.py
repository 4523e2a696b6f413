import gc
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import requests
from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceivedMessage,
    ServiceBusReceiver,
    ServiceBusSender,
)
from azure.servicebus.exceptions import (
    MessageLockLostError,
    OperationTimeoutError,
    ServiceBusError,
    ServiceBusServerBusyError,
)

from agreements.deadline import Deadline
from agreements.errors import Reason
from agreements.outcomes import Attempt, Rejected
from agreements.queues import QueueNames, Queues
from local.faults import Faults, InvalidRulesError, read
from local.parts import in_thread
from local.service_bus import Namespace, encoding, serve
from local.service_bus.entities import State
from local.service_bus.faults import BrokerFaults, BrokerRule
from local.service_bus.message import Section
from local.service_bus.performatives import Code
from local.service_bus.queues import Queue
from tests.fakes import delivery, event
from tests.local.amqp import connect, port_of

ROOT = Path(__file__).parents[2]
ENTITIES = {
    "queues": [
        {"name": "q", "properties": {"lockDuration": "PT5M"}},
        {"name": "unique", "properties": {"requiresDuplicateDetection": True}},
    ]
}
# How long the SDK waits for an answer that does not come.
TIMEOUT = 1.0


def rules(*told: Mapping[str, object]) -> list[BrokerRule]:
    """Return rules as they come through the control door."""
    return read(json.dumps(told).encode(), BrokerRule)


@dataclass
class Bus:
    """A broker that goes wrong on request, and the SDK's way to it."""

    connection_string: str
    namespace: Namespace
    faults: BrokerFaults
    stack: ExitStack

    def client(self, retry_total: int = 3) -> ServiceBusClient:
        """Return a client; by default it tries again, soon."""
        client = ServiceBusClient.from_connection_string(
            self.connection_string, retry_total=retry_total, retry_backoff_factor=0.01, try_timeout=TIMEOUT
        )
        return self.stack.enter_context(client)

    def sender(self, queue: str = "q", **options: int) -> ServiceBusSender:
        """Return a sender."""
        return self.stack.enter_context(self.client(**options).get_queue_sender(queue, timeout=TIMEOUT))

    def receiver(self, **options: int) -> ServiceBusReceiver:
        """Return a receiver of the queue."""
        return self.stack.enter_context(self.client(**options).get_queue_receiver("q", timeout=TIMEOUT))

    def fail(self, **rule: object) -> None:
        """Ask for a fault."""
        self.faults.replace(rules(rule))

    def queue(self, name: str = "q") -> Queue:
        """Return a queue, to look into it."""
        return self.namespace.source(name)

    def locked(self, **options: int) -> tuple[ServiceBusReceiver, ServiceBusReceivedMessage]:
        """Send a message and receive it."""
        self.sender().send_messages(ServiceBusMessage("x"), timeout=10)
        receiver = self.receiver(**options)
        [message] = receiver.receive_messages(1, max_wait_time=10)
        return receiver, message


@pytest.fixture
def bus() -> Iterator[Bus]:
    """Serve two queues, one of which detects duplicates."""
    namespace, faults = Namespace.from_dict(ENTITIES), Faults[BrokerRule](seed=1)
    with in_thread(partial(serve, namespace, faults=faults)) as environment, ExitStack() as stack:
        yield Bus(environment["ServiceBus"], namespace, faults, stack)


def send(sender: ServiceBusSender, timeout: float = 10) -> None:
    """Send a message with an id."""
    sender.send_messages(ServiceBusMessage("x", message_id="one"), timeout=timeout)


def test_a_busy_broker_refuses_and_stores_nothing(bus: Bus) -> None:
    """While the broker is busy, sending fails under Azure's own name for that."""
    bus.fail(operation="send", fault="busy", times=None)
    with pytest.raises(ServiceBusServerBusyError):
        send(bus.sender(retry_total=0))
    assert bus.queue().count() == 0


def test_the_sdk_outlasts_a_busy_broker(bus: Bus) -> None:
    """The SDK tries again by itself; the message is there once."""
    bus.fail(operation="send", fault="busy", times=2)
    send(bus.sender())
    assert bus.queue().count() == 1


@pytest.mark.parametrize("operation", ["attach", "manage"])
def test_a_busy_broker_is_met_everywhere(bus: Bus, operation: str) -> None:
    """A link and a look into the queue can be refused in the same way, once; then all is well."""
    receiver = bus.client(retry_total=0).get_queue_receiver("q")
    bus.fail(operation=operation, entityContains="q", fault="busy")
    ask = (
        receiver.peek_messages
        if operation == "manage"
        else partial(receiver.receive_messages, max_wait_time=1)
    )
    with pytest.raises(ServiceBusServerBusyError):
        ask()
    assert ask() == []
    receiver.close()


@pytest.mark.parametrize(("queue", "stored"), [("q", 2), ("unique", 1)])
def test_a_link_that_ends_after_the_work_makes_the_sdk_send_twice(bus: Bus, queue: str, stored: int) -> None:
    """Whoever is cut off before the answer sends again: only a queue that detects duplicates has it once."""
    bus.fail(operation="send", fault="detach", done=True)
    send(bus.sender(queue))
    assert bus.queue(queue).count() == stored


def test_a_link_that_ends_before_the_work_costs_nothing(bus: Bus) -> None:
    """The SDK attaches another link and sends again; nothing is doubled."""
    bus.fail(operation="send", fault="detach")
    send(bus.sender())
    assert bus.queue().count() == 1


@pytest.mark.parametrize(("done", "stored"), [(False, 0), (True, 1)])
def test_a_lost_answer_leaves_the_sender_in_doubt(bus: Bus, *, done: bool, stored: int) -> None:
    """A sender that hears nothing gives up in time, whether the message was stored or not."""
    bus.fail(operation="send", fault="lose", done=done)
    sender = bus.sender(retry_total=0)
    with pytest.raises(OperationTimeoutError):
        send(sender, timeout=TIMEOUT)
    assert bus.queue().count() == stored


def test_a_silent_broker_is_given_up_in_time(bus: Bus) -> None:
    """A connection on which the broker falls silent ends with the sender's patience; a new one works."""
    bus.fail(operation="send", fault="silence")
    with pytest.raises(OperationTimeoutError):
        send(bus.sender(retry_total=0), timeout=TIMEOUT)
    send(bus.sender())
    assert bus.queue().count() == 1


def test_silence_is_complete(bus: Bus) -> None:
    """From the moment on that it was asked for nothing is heard or said, not even what came along with it."""
    port = port_of({"ServiceBus": bus.connection_string})
    with connect(port) as client, connect(port, idle_timeout=10_000) as other:
        client.attach(0, "q", receives=False)
        other.attach(0, "q", receives=True)
        other.flow(0, 10)
        bus.fail(operation="send", fault="silence", done=True)
        fields = [encoding.uint(0), encoding.uint(0), encoding.binary(b"t")]
        body = encoding.described(Section.DATA, encoding.binary(b"body"))
        client.send(*[encoding.described(Code.TRANSFER, encoding.sequence(fields)) + body] * 2)
        other.expect(Code.TRANSFER)
        other.nothing_comes()
        client.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.read(1)


def test_a_link_that_ends_while_receiving_is_opened_again(bus: Bus) -> None:
    """A receiver whose link is ended gets its messages over another one, without being told."""
    send(bus.sender())
    bus.fail(operation="receive", fault="detach")
    receiver = bus.receiver()
    [message] = receiver.receive_messages(1, max_wait_time=10)
    receiver.complete_message(message)
    assert bus.queue().count() == 0


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_receiver_is_told_that_the_broker_is_busy(bus: Bus) -> None:
    """The SDK gives that call up, whatever it tried, and opens another link with the next one."""
    send(bus.sender())
    bus.fail(operation="receive", fault="busy")
    receiver = bus.receiver()
    with pytest.raises(ServiceBusServerBusyError):
        receiver.receive_messages(1, max_wait_time=10)
    [message] = receiver.receive_messages(1, max_wait_time=10)
    receiver.complete_message(message)
    # The SDK forgets to close the connection that it gave up.
    gc.collect()


def test_a_lost_settlement_is_made_up_for(bus: Bus) -> None:
    """A settlement that never arrives is tried again, over the management link, when nothing answers it."""
    receiver, message = bus.locked()
    bus.fail(operation="settle", fault="lose")
    receiver.complete_message(message)
    assert bus.queue().count() == 0


def test_a_settlement_whose_answer_is_lost_looks_like_a_lost_lock(bus: Bus) -> None:
    """Done, yet never told: trying again the SDK hears that nothing is locked, though the message is gone."""
    receiver, message = bus.locked()
    bus.fail(operation="settle", fault="lose", done=True)
    with pytest.raises(MessageLockLostError):
        receiver.complete_message(message)
    assert bus.queue().count() == 0


def test_a_link_that_ends_while_settling_keeps_the_lock(bus: Bus) -> None:
    """The lock outlives its link: the SDK settles over the management link."""
    receiver, message = bus.locked()
    bus.fail(operation="settle", fault="detach")
    receiver.complete_message(message)
    assert bus.queue().count() == 0


def test_a_broker_that_is_busy_settling_keeps_the_lock(bus: Bus) -> None:
    """A refused settlement leaves the message locked, to be settled again."""
    receiver, message = bus.locked(retry_total=0)
    bus.fail(operation="settle", fault="busy")
    with pytest.raises(ServiceBusError):
        receiver.complete_message(message)
    assert bus.queue().count(State.LOCKED) == 1
    receiver.complete_message(message)
    assert bus.queue().count() == 0


@pytest.mark.parametrize("fault", ["detach", "lose"])
def test_a_link_that_is_never_given_is_tried_again(bus: Bus, fault: str) -> None:
    """An attach that is refused by force or never answered costs a while, and no more."""
    bus.fail(operation="attach", entityContains="q", fault=fault)
    send(bus.sender())
    assert bus.queue().count() == 1


@pytest.mark.parametrize(
    ("fault", "done"),
    [
        ("busy", False),
        ("detach", False),
        ("detach", True),
        ("lose", False),
        ("lose", True),
        ("silence", True),
    ],
)
def test_the_product_parks_an_event_once_whatever_goes_wrong(bus: Bus, fault: str, *, done: bool) -> None:
    """A copy whose first sending met a fault is there once, after the redelivery that a failure leads to."""
    names = QueueNames(retries="unique", duplicates="unique", rejections="unique")
    queues = Queues(bus.client(), names, 2 * TIMEOUT)
    rejected = Rejected(reason=Reason.REFUSED, detail="refused")
    bus.fail(operation="send", fault=fault, done=done)
    for _ in range(2):
        with suppress(ServiceBusError):
            queues.send(delivery(), Attempt(event=event()), rejected, Deadline.after(60))
    assert bus.queue("unique").count() == 1


def test_a_fault_meets_what_its_rule_names(bus: Bus) -> None:
    """Operation and entity choose the requests; the first rule that meets one is used up by it."""
    bus.faults.replace(
        rules(
            {"operation": "settle", "fault": "busy"},
            {"entityContains": "UNIQUE", "fault": "busy"},
            {"operation": "send", "times": 2},
            {"operation": "send", "fault": "lose"},
        )
    )
    met = [bus.faults.use(*request) for request in [("send", "q"), ("send", "unique"), ("send", "q")]]
    assert [rule.fault if rule else "none" for rule in met] == [None, "busy", None]
    last = bus.faults.use("send", "q")
    assert last is not None
    assert last.fault == "lose"
    assert bus.faults.use("attach", "q") is None


def test_chance_is_repeatable() -> None:
    """The same seed lets the same requests fail."""
    patterns = []
    for _ in range(2):
        faults = Faults[BrokerRule](seed=7)
        faults.replace(rules({"fault": "busy", "probability": 0.5, "times": None}))
        patterns.append([faults.use("send", "q") is None for _ in range(50)])
    assert patterns[0] == patterns[1]
    assert 0 < sum(patterns[0]) < 50


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ({"fault": "explode"}, "0.fault"),
        ({"operation": "wait"}, "0.operation"),
        ({"status": 503}, "0.status"),
        ({"fault": "busy", "done": True}, "'done' belongs to a fault"),
        ({"done": True}, "'done' belongs to a fault"),
    ],
)
def test_impossible_rules_are_refused(rule: dict[str, object], complaint: str) -> None:
    """A rule that cannot be is refused with its place and its key."""
    with pytest.raises(InvalidRulesError, match=complaint):
        rules(rule)


def test_the_program_takes_faults_through_its_door() -> None:
    """Rules are put, refused and deleted over http, at the address that the program announces."""
    command = [sys.executable, "-m", "local.service_bus", "--port=0", "--until-stdin-closes"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        environment = json.loads(process.stdout.readline())["environment"]
        door = f"{environment['SERVICE_BUS_CONTROL_URL']}/_control/faults"
        busy = {"operation": "send", "fault": "busy", "times": None}
        assert requests.put(door, json=[busy], timeout=10).status_code == 204
        refused = requests.put(door, json=[{"fault": "explode"}], timeout=10)
        assert (refused.status_code, "0.fault" in refused.json()["error"]) == (400, True)
        with (
            ServiceBusClient.from_connection_string(environment["ServiceBus"], retry_total=0) as client,
            client.get_queue_sender("agreement-retries") as sender,
        ):
            with pytest.raises(ServiceBusServerBusyError):
                send(sender)
            assert requests.delete(door, timeout=10).status_code == 204
            send(sender)
        process.communicate()
    assert process.returncode == 0
