"""A subscriber in another language, with the published schema and nothing else of ours."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from agreements.outcome_events import Ending
from local import bus
from tests.races import stage as stages
from tests.races.stage import LOCK_SECONDS, RETRIES, RETRY_SECONDS, ROOT, TOPIC, Stage

SUBSCRIPTION = "crm"
_PROGRAM = Path(__file__).with_name("subscriber.mjs")
_SECONDS = 60.0


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Serve what the product needs, with a subscription for a CRM."""
    with stages.serve(SUBSCRIPTION) as served:
        yield served


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file that a developer of a CRM makes."""
    command = [sys.executable, "-m", "agreements", "schema", "outcome"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=_SECONDS)
    file = tmp_path_factory.mktemp("crm") / "outcome-event.json"
    file.write_bytes(ran.stdout)
    return file


def subscribe(stage: Stage, schema: Path, count: int) -> list[dict[str, Any]]:
    """Let the CRM read that many outcome events; return what it made of each."""
    command = [
        "node",
        str(_PROGRAM),
        stage.environment["ServiceBus"],
        TOPIC,
        SUBSCRIPTION,
        str(schema),
        str(count),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_SECONDS)
    return [json.loads(line) for line in ran.stdout.splitlines()]


def failing(customer: UUID, **how: object) -> dict[str, object]:
    """Return a fault for the first confirmation of a customer."""
    return {"method": "POST", "pathContains": str(customer), "times": 1, **how}


def happen(stage: Stage, customers: list[UUID]) -> None:
    """Let every outcome come about: of each customer another, the last of which cannot be read."""
    confirmed, recovered, crashed, rejected = customers
    stage.set_faults(
        failing(recovered, drop="after"),
        {"method": "POST", "pathContains": str(rejected), "status": 400, "body": {"code": 800002}},
    )
    for customer in (confirmed, confirmed, recovered, rejected):
        stage.publish(customer)
        stage.deliver()
    stage.publish(crashed)
    stage.handle(stage.take())  # told, and then the host is gone: it is delivered again, and told again
    stage.clock.ahead += LOCK_SECONDS
    stage.deliver()
    stage.send(bus.message(b"rubbish", message_id="4711", correlation_id=str(uuid4())))
    stage.deliver()
    event = {"customerTenantId": str(confirmed), "dateAgreed": "2020-01-01", "primaryContact": stages.CONTACT}
    stage.send(ServiceBusMessage(json.dumps(event), application_properties={"mcaReplay": 1}))
    stage.deliver()
    stage.clock.ahead += RETRY_SECONDS
    stage.deliver(RETRIES)


def test_a_subscriber_needs_nothing_but_the_schema(stage: Stage, schema: Path) -> None:
    """Every kind of outcome event is valid by the schema, and tells a CRM all that it acts by."""
    customers = [uuid4() for _ in range(4)]
    happen(stage, customers)
    taken = subscribe(stage, schema, 9)
    assert [one["errors"] for one in taken] == [[]] * 9
    assert not [one for one in taken if one["repeated"]]
    assert {one["event"]["data"]["outcome"] for one in taken} == set(Ending)
    confirmed, recovered, crashed, rejected = map(str, customers)
    assert [one["told"] for one in taken] == [
        f"{confirmed} can buy",
        f"{confirmed} can buy",
        f"{recovered} waits",
        f"{rejected} is with operations",
        f"{crashed} can buy",
        "4711 is to be sent again: NotJson",
        f"{confirmed} waits",
        f"{confirmed} can buy",
        f"{recovered} can buy",
    ]
    assert [one["filterable"]["mcaOutcome"] for one in taken] == [
        one["event"]["data"]["outcome"] for one in taken
    ]
    # Completed by the subscriber, they are still there for everybody else.
    assert stage.entity(f"{TOPIC}/Subscriptions/{SUBSCRIPTION}").count() == 0
    assert len(stage.receipts.peek_messages(250, sequence_number=1)) == 9


def test_what_is_no_outcome_event_is_noticed(stage: Stage, schema: Path) -> None:
    """The schema is strict enough to find what is wrong, by name."""
    stage.publish(uuid4())
    stage.deliver()
    [told] = stage.receipts.peek_messages(1, sequence_number=1)
    good = json.loads(b"".join(told.body))
    bad = good | {"specversion": "0.3", "data": good["data"] | {"outcome": "lost", "receivedAt": "today"}}
    del bad["causationid"]
    client = ServiceBusClient.from_connection_string(stage.environment["ServiceBus"])
    with client, client.get_topic_sender(TOPIC) as sender:
        sender.send_messages(ServiceBusMessage(json.dumps(bad)), timeout=_SECONDS)
    first, second = subscribe(stage, schema, 2)
    assert first["errors"] == []
    assert sorted(second["errors"]) == [
        " must have required property 'causationid'",
        "/data/outcome must be equal to one of the allowed values",
        '/data/receivedAt must match format "date-time"',
        "/specversion must be equal to constant",
    ]
