"""The stand-in broker's own processor time per message, against that of the SDK which uses it."""

import statistics
import time

from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusReceiver, ServiceBusSender

from tests.benchmarks.far_ends import cpu_seconds, program
from tests.benchmarks.figures import Figure

MESSAGES = 2000
ROUNDS = 5
QUEUE = "agreement-rejections"


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
