"""The stand-in broker: its processor time against that of the SDK, its memory against the content."""

import statistics
import time

from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceiveMode,
    ServiceBusReceiver,
    ServiceBusSender,
)

from tests.benchmarks.far_ends import cpu_seconds, program, resident
from tests.benchmarks.figures import Figure

MESSAGES = 2000
ROUNDS = 5
QUEUE = "agreement-rejections"
# One that remembers no message ids.
PLAIN_QUEUE = "agreement-acceptances"
PARKED = 200_000
BODY = b"x" * 1024
BATCH = 100


def measure() -> list[Figure]:
    """Measure sending one by one, and receiving by the hundred and completing each."""
    with (
        program("service_bus", "--port=0") as (environment, pid),
        ServiceBusClient.from_connection_string(environment["ServiceBus"]) as client,
        client.get_queue_sender(QUEUE) as sender,
        client.get_queue_receiver(QUEUE) as receiver,
    ):
        _send(sender, 10)
        _receive(receiver, 10)
        rounds = [_round(sender, receiver, pid) for _ in range(ROUNDS)]
    broker = statistics.median(one for one, _ in rounds)
    client_side = statistics.median(other for _, other in rounds)
    return [
        Figure(
            name="broker-cpu-to-client-cpu",
            ratio=statistics.median(one / other for one, other in rounds),
            target="<= 0.6",
            ours=broker,
            theirs=client_side,
            unit="microseconds per message sent, received and completed",
        )
    ]


def _round(sender: ServiceBusSender, receiver: ServiceBusReceiver, pid: int) -> tuple[float, float]:
    broker, own = cpu_seconds(pid), time.process_time()
    _send(sender, MESSAGES)
    _receive(receiver, MESSAGES)
    per_message = 1e6 / MESSAGES
    return (cpu_seconds(pid) - broker) * per_message, (time.process_time() - own) * per_message


def _send(sender: ServiceBusSender, count: int) -> None:
    for _ in range(count):
        sender.send_messages(ServiceBusMessage(b"x" * 200), timeout=10)


def _receive(receiver: ServiceBusReceiver, count: int) -> None:
    while count > 0:
        for message in receiver.receive_messages(min(100, count), max_wait_time=5):
            receiver.complete_message(message)
            count -= 1


def memory() -> list[Figure]:
    """Measure what 200,000 messages of 1 KB take, and whether a second load of them takes more."""
    with (
        program("service_bus", "--port=0") as (environment, pid),
        ServiceBusClient.from_connection_string(environment["ServiceBus"]) as client,
        client.get_queue_sender(PLAIN_QUEUE) as sender,
        client.get_queue_receiver(
            PLAIN_QUEUE, receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE
        ) as receiver,
    ):
        empty = resident(pid)
        first = _load(sender, receiver, pid)
        second = _load(sender, receiver, pid)
    content = PARKED * len(BODY)
    return [
        Figure(
            name="broker-memory-to-content",
            ratio=(first - empty) / content,
            target="<= 2",
            ours=(first - empty) / PARKED,
            theirs=len(BODY),
            unit="bytes per message kept",
        ),
        Figure(
            name="broker-memory-second-to-first-load",
            ratio=second / first,
            target="<= 1.1",
            ours=second / 2**20,
            theirs=first / 2**20,
            unit="MiB resident with 200,000 messages of 1 KB",
        ),
    ]


def _load(sender: ServiceBusSender, receiver: ServiceBusReceiver, pid: int) -> int:
    """Fill the queue and empty it; return the memory that it took when full."""
    for _ in range(PARKED // BATCH):
        sender.send_messages([ServiceBusMessage(BODY) for _ in range(BATCH)], timeout=60)
    full, left = resident(pid), PARKED
    while left:
        left -= len(receiver.receive_messages(min(left, 1000), max_wait_time=60))
    return full
