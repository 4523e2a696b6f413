import json
import os
import re
import signal
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceivedMessage,
    ServiceBusReceiver,
    ServiceBusSender,
)
from azure.servicebus.amqp import AmqpAnnotatedMessage

from local.functions_host import messages
from local.functions_host.protocol import TypedData
from local.parts import in_thread
from local.service_bus import Namespace, serve
from tests.local.hosts import PATIENCE, Host, an_app, running

# A message says in its body what the function is to do with it.
APP = """
import json, logging, threading
from pathlib import Path
import azure.functions as func

app = func.FunctionApp()
log = logging.getLogger("agreements")
counting, running = threading.Lock(), 0

NAMES = [name for name, member in vars(func.ServiceBusMessage).items() if isinstance(member, property)]

@app.service_bus_queue_trigger(
    arg_name="message", connection="ServiceBus", queue_name="%QUEUE%", data_type="binary")
def work(message: func.ServiceBusMessage, context: func.Context) -> None:
    global running
    body = message.get_body().decode()
    with counting:
        running += 1
        line = {"body": body, "count": message.delivery_count, "running": running}
    try:
        if body == "tell":
            line |= {name: getattr(message, name) for name in NAMES if name != "force_persistence"}
            line["trace_parent"] = context.trace_context.trace_parent
        log.info(json.dumps(line, default=str))
        if body.startswith("hold "):
            Path(body.removeprefix("hold ")).read_bytes()
            log.info(json.dumps({"released": body}))
        if body == "fail once" and message.delivery_count == 1:
            raise ValueError("this one fails")
    finally:
        with counting:
            running -= 1
"""

NEVER_FILLED = (
    "dead_letter_error_description",
    "dead_letter_reason",
    "enqueued_sequence_number",
    "locked_until",
    "scheduled_enqueue_time",
    "scheduled_enqueue_time_utc",
    "state",
    "time_to_live",
)


# What the Service Bus extension puts into the trigger's metadata, without its host objects.
SENT = {
    *("ApplicationProperties", "ContentType", "CorrelationId", "DeadLetterSource", "DeliveryCount"),
    *("EnqueuedTime", "EnqueuedTimeUtc", "ExpiresAt", "ExpiresAtUtc", "Label", "LockToken", "MessageId"),
    *("PartitionKey", "ReplyTo", "ReplyToSessionId", "SequenceNumber", "SessionId", "Subject", "To"),
    *("TransactionPartitionKey", "UserProperties"),
}
# A message of this test came from no dead-letter queue, is in no session and was sent by no transaction.
NOT_HERE = {"DeadLetterSource", "SessionId", "TransactionPartitionKey"}


@pytest.fixture(scope="module")
def namespace(tmp_path_factory: pytest.TempPathFactory) -> Namespace:
    """Queues that dead-letter after two deliveries."""
    properties = {"lockDuration": "PT1M", "maxDeliveryCount": 2}
    queues = [{"name": name, "properties": properties} for name in ("work", "ending", "staying")]
    entities = tmp_path_factory.mktemp("broker") / "service-bus.json"
    entities.write_text(json.dumps({"queues": queues, "topics": []}))
    return Namespace.from_file(entities)


@pytest.fixture(scope="module")
def broker(namespace: Namespace) -> Iterator[Mapping[str, str]]:
    """A broker; what it yields leads there."""
    with in_thread(lambda: serve(namespace)) as environment:
        yield environment


@pytest.fixture(scope="module")
def client(broker: Mapping[str, str]) -> Iterator[ServiceBusClient]:
    """The real SDK, connected to the broker."""
    with ServiceBusClient.from_connection_string(broker["ServiceBus"]) as client:
        yield client


@pytest.fixture(scope="module")
def sender(client: ServiceBusClient) -> Iterator[ServiceBusSender]:
    """A sender to the queue of the shared host."""
    with client.get_queue_sender("work") as sender:
        yield sender


@pytest.fixture(scope="module")
def receiver(client: ServiceBusClient) -> Iterator[ServiceBusReceiver]:
    """A receiver on the queue of the shared host, to peek with."""
    with client.get_queue_receiver("work") as receiver:
        yield receiver


@pytest.fixture(scope="module")
def host(broker: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host that has announced itself, shared by the tests that only need one."""
    app = an_app(tmp_path_factory.mktemp("app"), APP)
    with running(app, {**broker, "QUEUE": "work"}) as host:
        assert set(host.next_line()["environment"]) == {"FUNCTIONS_HOST_URL"}
        yield host


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A pipe that holds back whoever reads it until the test has written to it."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


def test_the_function_sees_what_the_real_host_shows(host: Host, sender: ServiceBusSender) -> None:
    """Every property that the real host fills comes through, of its Python type or rather its text."""
    trace = uuid.uuid4()
    before = datetime.now(UTC)
    sender.send_messages(
        ServiceBusMessage(
            b"tell",
            message_id="m-1",
            correlation_id="c-1",
            content_type="application/json",
            subject="accepted",
            to="somewhere",
            reply_to="back",
            reply_to_session_id="s-2",
            partition_key="p-1",
            time_to_live=timedelta(hours=1),
            application_properties={"text": "ä", "number": 7, "yes": True, "id": trace},
        ),
        timeout=PATIENCE,
    )
    seen = host.next_line()
    properties = {"text": "ä", "number": 7, "yes": True, "id": str(trace)}
    assert seen["application_properties"] == seen["user_properties"] == properties
    assert (seen["message_id"], seen["correlation_id"]) == ("m-1", "c-1")
    assert (seen["content_type"], seen["subject"], seen["label"]) == (
        "application/json",
        "accepted",
        "accepted",
    )
    assert (seen["to"], seen["reply_to"], seen["reply_to_session_id"]) == ("somewhere", "back", "s-2")
    assert seen["partition_key"] == "p-1"
    assert seen["delivery_count"] == 1
    assert str(uuid.UUID(seen["lock_token"])) == seen["lock_token"]
    enqueued = datetime.fromisoformat(seen["enqueued_time_utc"])
    assert abs(enqueued - before) < timedelta(seconds=PATIENCE)
    assert datetime.fromisoformat(seen["expires_at_utc"]) == enqueued + timedelta(hours=1)
    assert set(seen["metadata"]) == SENT - NOT_HERE


def test_what_the_real_host_never_fills_is_none(host: Host, sender: ServiceBusSender) -> None:
    """The properties that exist in Python but that no host fills stay None, and so does what nobody sent."""
    sender.send_messages(ServiceBusMessage(b"tell", time_to_live=timedelta(hours=1)), timeout=PATIENCE)
    seen = host.next_line()
    unsent = ("correlation_id", "content_type", "subject", "label", "to", "reply_to", "session_id")
    assert {name: seen[name] for name in (*NEVER_FILLED, *unsent)} == dict.fromkeys((*NEVER_FILLED, *unsent))
    assert seen["application_properties"] == {}
    assert seen["sequence_number"] > 0


@pytest.mark.parametrize("name", ["Diagnostic-Id", "traceparent"])
def test_an_invocation_goes_on_with_the_publishers_trace(
    host: Host, sender: ServiceBusSender, name: str
) -> None:
    """A new span in the trace that the message came with, sampled or not as its publisher decided."""
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    sender.send_messages(ServiceBusMessage(b"tell", application_properties={name: given}), timeout=PATIENCE)
    version, trace, span, flags = host.next_line()["trace_parent"].split("-")
    assert (version, trace, flags) == ("00", "0af7651916cd43dd8448eb211c80319c", "00")
    assert span != "b7ad6b7169203331"


def test_an_invocation_has_a_trace_in_any_case(host: Host, sender: ServiceBusSender) -> None:
    """Without a publisher's trace, or with one that nobody can read, a new one begins."""
    traces = set()
    for given in ("", "rubbish"):
        message = ServiceBusMessage(b"tell", application_properties={"traceparent": given})
        sender.send_messages(message, timeout=PATIENCE)
        traces.add(host.next_line()["trace_parent"])
    assert len(traces) == 2
    assert all(re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", trace) for trace in traces)


def test_a_failure_is_abandoned_and_comes_again_at_once(host: Host, sender: ServiceBusSender) -> None:
    """What raises is logged with its stack and delivered again, counted; what returns then is completed."""
    sender.send_messages(ServiceBusMessage(b"fail once"), timeout=PATIENCE)
    assert [host.next_line()["count"], host.next_line()["count"]] == [1, 2]
    assert "host: work: failed on message " in host.stderr()
    assert "function_app.py" in host.stderr()
    assert "ValueError: this one fails\n" in host.stderr()


def test_no_more_calls_at_once_than_host_json_allows(
    host: Host, sender: ServiceBusSender, receiver: ServiceBusReceiver, gate: Path
) -> None:
    """Of five messages four are in hand; the fifth starts when one of these has ended."""
    bodies = [f"hold {gate}"] * 4 + ["fifth"]
    sender.send_messages([ServiceBusMessage(body) for body in bodies], timeout=PATIENCE)
    assert max(host.next_line()["running"] for _ in range(4)) == 4
    assert len(receiver.peek_messages(10, timeout=PATIENCE)) == 5
    assert host.is_silent()
    gate.write_bytes(b"")
    lines = [host.next_line() for _ in range(5)]
    [fifth] = [line for line in lines if line.get("body") == "fifth"]
    assert fifth["running"] <= 4


def test_a_value_body_fails_to_bind(host: Host, sender: ServiceBusSender, client: ServiceBusClient) -> None:
    """A body that is an AMQP value never reaches the function; it is abandoned until it is dead-lettered."""
    sender.send_messages(AmqpAnnotatedMessage(value_body="text"), timeout=PATIENCE)
    with client.get_queue_receiver("work", sub_queue="deadletter") as dead:
        [message] = dead.receive_messages(1, max_wait_time=PATIENCE)
        dead.complete_message(message)
    assert host.is_silent()
    assert "an AMQP value body cannot be bound as binary data" in host.stderr()


def test_the_end_comes_quickly_when_nothing_runs(host: Host, receiver: ServiceBusReceiver) -> None:
    """SIGTERM ends an idle host at once, and all that its function returned from is gone from the queue."""
    assert host.stop() == 0
    assert receiver.peek_messages(10, timeout=PATIENCE) == []


def test_sigterm_lets_what_runs_finish(
    broker: Mapping[str, str], client: ServiceBusClient, gate: Path, tmp_path: Path
) -> None:
    """A call that runs when the end is asked for is waited for and completed; the host begins no other."""
    app = an_app(tmp_path, APP, calls=1)
    with (
        client.get_queue_sender("ending") as sender,
        client.get_queue_receiver("ending") as receiver,
        running(app, {**broker, "QUEUE": "ending"}) as host,
    ):
        assert "environment" in host.next_line()
        sender.send_messages([ServiceBusMessage(f"hold {gate}"), ServiceBusMessage("next")], timeout=PATIENCE)
        assert host.next_line()["running"] == 1
        host.process.send_signal(signal.SIGTERM)
        gate.write_bytes(b"")
        assert "released" in host.next_line()
        assert host.wait() == 0
        assert host.is_silent()
        assert [str(left) for left in receiver.peek_messages(10, timeout=PATIENCE)] == ["next"]


def test_the_host_outlives_its_broker(namespace: Namespace, tmp_path: Path) -> None:
    """When the broker comes back on its port, the host goes on by itself."""
    app = an_app(tmp_path, APP)
    with ExitStack() as outer:
        with in_thread(lambda: serve(namespace)) as environment:
            host = outer.enter_context(running(app, {**environment, "QUEUE": "staying"}))
            assert "environment" in host.next_line()
        [port] = re.findall(r":(\d+);", environment["ServiceBus"])
        with (
            in_thread(lambda: serve(namespace, port=int(port))),
            ServiceBusClient.from_connection_string(environment["ServiceBus"]) as client,
            client.get_queue_sender("staying") as sender,
        ):
            sender.send_messages(ServiceBusMessage("again"), timeout=PATIENCE)
            assert host.next_line()["body"] == "again"
            assert host.stop() == 0
    assert "host: work: lost its queue: " in host.stderr()


def test_properties_that_are_not_text_become_base64() -> None:
    """As in the real host's JSON; the Python SDK sends none such, others do."""
    properties = b"\x00\x53\x74" + b"\xc1\x08\x02" + b"\xa1\x01r" + b"\xa0\x02\xff\x00"
    message = ServiceBusReceivedMessage.from_bytes(properties + b"\x00\x53\x75\xa0\x00")
    metadata = messages.trigger_metadata(message)
    assert metadata["ApplicationProperties"] == TypedData("json", '{"r": "/wA="}')
    assert messages.body(message) == TypedData("bytes", b"")


@pytest.mark.parametrize(
    ("code", "settings", "text"),
    [
        (
            "raise RuntimeError('PARTNER_TENANT_ID is missing')",
            {},
            "RuntimeError: PARTNER_TENANT_ID is missing",
        ),
        ("app = None", {}, "ValueError: Could not find top level function app instances in function_app.py."),
        (APP, {}, "host: the setting QUEUE is missing: work takes its queueName from it"),
        (
            APP,
            {"QUEUE": "work"},
            "host: the setting ServiceBus is missing: work takes its connection from it",
        ),
        (
            APP.replace(', data_type="binary"', ""),
            {"QUEUE": "work", "ServiceBus": "any"},
            "host: work: dataType is STRING; this host knows only BINARY",
        ),
        (
            APP.replace('data_type="binary"', 'data_type="binary", auto_complete_messages=False'),
            {"QUEUE": "work", "ServiceBus": "any"},
            "host: work: autoCompleteMessages is False; this host knows only True",
        ),
    ],
)
def test_an_app_that_cannot_run_says_why_last(
    code: str, settings: Mapping[str, str], text: str, tmp_path: Path
) -> None:
    """What is wrong is the last thing said, in a few lines on standard error, with exit code 1."""
    with running(an_app(tmp_path, code), settings) as host:
        assert host.wait() == 1
        assert host.is_silent()
        assert host.stderr().splitlines()[-1] == text
        assert len(host.stderr().splitlines()) < 10
