import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from local.parts import in_thread
from local.service_bus import Namespace, serve
from local.service_bus.performatives import Code
from local.service_bus.watch import Patience
from tests.local.amqp import ANONYMOUS, Client, condition, connect, port_of

SOON, NEVER = 1.0, 3600.0

type Serve = Callable[..., int]


@pytest.fixture
def served() -> Iterator[Serve]:
    """Return a way to serve a queue with some patience; what is not said lasts for ever."""
    with ExitStack() as stack:

        def start(**seconds: float) -> int:
            lasting = dict.fromkeys(("link", "first_link", "next_link", "peer"), NEVER)
            patience = Patience(**{**lasting, **seconds})
            namespace = Namespace.from_dict({"queues": [{"name": "q"}]})
            return port_of(stack.enter_context(in_thread(partial(serve, namespace, patience=patience))))

        yield start


def test_an_idle_link_is_detached(served: Serve) -> None:
    """A link over which nothing goes is ended in Azure's words; one that is used stays."""
    with connect(served(link=SOON)) as client:
        client.attach(0, "q", receives=False)
        client.attach(1, "q", receives=True)
        client.attach(2, "$cbs", receives=True)
        client.flow(0, echo=1)
        while (answer := client.next())[0] == Code.FLOW:
            client.flow(0, echo=1)
        code, detached, _ = answer
        assert (code, detached[0]) == (Code.DETACH, 1)
        assert condition(detached, 2) == "amqp:link:detach-forced"
        assert "AmqpMessageConsumer.IdleTimerExpired: Idle timeout: 0:00:01" in str(detached[2])
        detached = client.until(Code.DETACH)
        assert detached[0] == 0
        assert "AmqpMessagePublisher.IdleTimerExpired" in str(detached[2])
        client.flow(None, echo=1)
        client.expect(Code.FLOW)


@pytest.mark.parametrize("attached", [False, True])
def test_a_connection_without_a_link_is_closed(served: Serve, *, attached: bool) -> None:
    """A client that never attaches anything but its tokens' link is told so and let go."""
    with connect(served(first_link=SOON)) as client:
        if attached:
            client.attach(0, "$cbs", receives=True)
        closed = client.expect(Code.CLOSE)
        assert condition(closed, 0) == "amqp:connection:forced"
        assert "inactive for more than the allowed 1000 milliseconds" in str(closed[0])
        assert client.read(1) == b""


def test_a_connection_that_lost_its_last_link_is_closed(served: Serve) -> None:
    """After the last link is gone a connection has a while to attach another one."""
    with connect(served(next_link=SOON)) as client:
        client.attach(0, "q", receives=False)
        client.attach(1, "q", receives=False)
        for handle in (0, 1):
            client.nothing_comes()
            client.detach(handle)
        assert condition(client.expect(Code.CLOSE), 0) == "amqp:connection:forced"


def test_a_connection_with_a_link_lives_on(served: Serve) -> None:
    """A link in time ends the wait, and so does another one in place of the last."""
    port = served(first_link=SOON, next_link=SOON)
    with connect(port) as client, connect(port) as other:
        client.attach(0, "q", receives=False)
        client.detach(0)
        client.attach(0, "q", receives=False)
        assert condition(other.expect(Code.CLOSE), 0) == "amqp:connection:forced"
        client.nothing_comes()


def test_a_half_open_connection_is_closed(served: Serve) -> None:
    """Whoever connects and says nothing, or stops in the middle of the handshake, is let go."""
    port = served(first_link=SOON)
    for said in (b"", b"AMQP\x03", b"AMQP\x03\x01\x00\x00\x00\x00\x01\x00\x02"):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as raw:
            raw.sendall(said)
            while raw.recv(65536):
                pass


def test_a_silent_client_is_noticed(served: Serve) -> None:
    """A client is asked for heartbeats at twice the rate that keeps it; without any it is let go."""
    port = served(peer=SOON)
    client = Client(port)
    with client.socket:
        assert client.open(mechanism=ANONYMOUS)[4] == 500
        closed = client.expect(Code.CLOSE)
        assert condition(closed, 0) == "amqp:connection:forced"
        assert client.read(1) == b""


def test_heartbeats_keep_a_client(served: Serve) -> None:
    """A client that says nothing but its heartbeats is kept, while another one dies of silence."""
    port = served(peer=SOON)
    with connect(port, idle_timeout=50) as beating, connect(port) as silent:
        while beating.next()[0] == -1:
            beating.send(b"", channel=0)
            silent.socket.settimeout(0.01)
            try:
                silent.read(4)
            except TimeoutError:
                continue
            break
        beating.flow(None, echo=1)
        beating.until(Code.FLOW)


def test_the_sdk_survives_idle_links(served: Serve) -> None:
    """A sender and a receiver that were idle for too long work again with their next use."""
    port = served(link=SOON)
    string = f"Endpoint=sb://localhost:{port};SharedAccessKeyName=RootManageSharedAccessKey;"
    string += "SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;"
    with (
        ServiceBusClient.from_connection_string(string, retry_backoff_factor=0.01) as client,
        client.get_queue_sender("q") as sender,
        client.get_queue_receiver("q") as receiver,
        connect(port) as witness,
    ):
        sender.send_messages(ServiceBusMessage("before"), timeout=10)
        [before] = receiver.receive_messages(1, max_wait_time=10)
        receiver.complete_message(before)
        # Its own link ends after theirs.
        witness.attach(0, "q", receives=True)
        witness.expect(Code.DETACH)
        sender.send_messages(ServiceBusMessage("after"), timeout=10)
        [after] = receiver.receive_messages(1, max_wait_time=10)
        receiver.complete_message(after)
        assert str(after) == "after"
