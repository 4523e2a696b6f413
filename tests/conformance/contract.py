"""The contract with publishers, in another language: the AsyncAPI document, and a publisher and subscriber.

Run by ``make conformance``.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusReceiveMode

from agreements import asyncapi, events, outcome_events
from local.parts import in_thread
from local.service_bus import Namespace, serve
from tests.test_publishing_guide import ENTITIES, EVENT, EXAMPLES, ID, QUEUE
from tests.test_schemas import told

HERE = Path(__file__).parent
DOCS = HERE.parent.parent / "docs"
SECONDS = 30.0


def node(program: str, *arguments: str) -> str:
    """Run a program of Node's and return what it wrote."""
    command = ["node", str(HERE / program), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=4 * SECONDS)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def parsed(document: Path) -> Mapping[str, Any]:
    """Return what the AsyncAPI Initiative's parser makes of a document."""
    found: Mapping[str, Any] = json.loads(node("asyncapi.mjs", str(document)))
    return found


def test_the_asyncapi_document_is_one() -> None:
    """The reference parser finds no fault in it; it only wishes for the newest version of AsyncAPI."""
    found = parsed(DOCS / "asyncapi.json")
    assert {code for _, code, _ in found["found"]} <= {"asyncapi-latest-version"}
    assert found["operations"] == [["receiveAcceptance", "receive"], ["sendOutcome", "send"]]


@pytest.mark.parametrize("fault", ["schema", "reference", "action"])
def test_the_parser_finds_a_fault(tmp_path: Path, fault: str) -> None:
    """The check can fail: a schema that is none, a reference to nothing, an action that there is not."""
    document: Any = json.loads(json.dumps(asyncapi.document()))
    match fault:
        case "schema":
            document["components"]["schemas"]["Contact"]["type"] = "person"
        case "reference":
            del document["components"]["messages"]["outcome"]
        case _:
            document["operations"]["sendOutcome"]["action"] = "tell"
    broken = tmp_path / "asyncapi.json"
    broken.write_text(json.dumps(document))
    assert 0 in {severity for severity, _, _ in parsed(broken)["found"]}


@pytest.fixture
def bus() -> Iterator[tuple[str, ServiceBusClient]]:
    """Serve the queue and the topic of the examples."""
    with in_thread(lambda: serve(Namespace.from_dict(ENTITIES))) as environment, ExitStack() as stack:
        client = ServiceBusClient.from_connection_string(environment["ServiceBus"], retry_total=0)
        yield environment["ServiceBus"], stack.enter_context(client)


def test_the_javascript_examples_publish_and_subscribe(
    bus: tuple[str, ServiceBusClient], tmp_path: Path
) -> None:
    """The event arrives as it is, and every outcome is valid by the published schema, all they have."""
    connection_string, client = bus
    sent = told()
    with client.get_topic_sender("agreement-outcomes") as sender:
        bodies = [
            ServiceBusMessage(json.dumps(each), content_type=outcome_events.CONTENT_TYPE) for each in sent
        ]
        sender.send_messages([*bodies, ServiceBusMessage(json.dumps(sent[0] | {"id": 7}))], timeout=SECONDS)
    for kind in ("publisher", "subscriber"):
        (tmp_path / f"{kind}.mjs").write_text(EXAMPLES["js", kind])
    (tmp_path / "event.json").write_text(EXAMPLES["json", "event"])
    given = [str(tmp_path / name) for name in ("publisher.mjs", "subscriber.mjs", "event.json")]
    schema = DOCS / "schemas" / "outcome-event.v1.schema.json"
    *noted, broken = map(
        json.loads,
        node("examples.mjs", connection_string, *given, str(schema), str(len(sent) + 1)).splitlines(),
    )
    assert [each["outcome"] for each in noted] == sent
    assert [each["errors"] for each in noted if not each["valid"]] == []
    assert [error["instancePath"] for error in broken["errors"]] == ["/id"]
    taking = ServiceBusReceiveMode.RECEIVE_AND_DELETE
    with client.get_queue_receiver(QUEUE, receive_mode=taking) as receiver:
        [message] = receiver.receive_messages(1, max_wait_time=SECONDS)
        assert events.parse(b"".join(message.body), message.content_type) == EVENT
        assert message.message_id == ID
    with client.get_subscription_receiver("agreement-outcomes", "crm") as receiver:
        assert not receiver.peek_messages()
