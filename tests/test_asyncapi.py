import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from jsonschema.protocols import Validator

from agreements import asyncapi, events
from agreements.events import AcceptanceEvent
from agreements.outcome_events import SCHEMA_ID
from agreements.outcomes import Attempt, Confirmed
from tests.test_queues import ASKED, REJECTED, Telling, properties

ROOT = Path(__file__).parent.parent
DOCUMENT: Any = asyncapi.document()
MESSAGES = DOCUMENT["components"]["messages"]


def validator(schema: Any) -> Validator:
    """Return what reads a schema of the document as its readers do: by draft 7, references and all."""
    return Draft7Validator({**schema, "components": DOCUMENT["components"]})


def test_the_document_of_today_is_published() -> None:
    """The file is what the models make now."""
    written = (ROOT / "docs" / "asyncapi.json").read_text()
    assert written == json.dumps(DOCUMENT, indent=2) + "\n", (
        "write it anew: agreements schema asyncapi > docs/asyncapi.json"
    )


@pytest.mark.parametrize("name", MESSAGES)
def test_every_example_follows_its_schemas(name: str) -> None:
    """What a reader copies is valid: the payload, and the properties beside it."""
    message = MESSAGES[name]
    [example] = message["examples"]
    validator(message["payload"]).validate(example["payload"])
    validator(message.get("headers", {})).validate(example.get("headers", {}))


@pytest.mark.parametrize("name", ["plain", "structured", "binary"])
def test_every_example_of_an_acceptance_is_read(name: str) -> None:
    """What a reader copies and sends is an event here."""
    message = MESSAGES[name]
    [example] = message["examples"]
    body = json.dumps(example["payload"]).encode()
    found = events.parse(body, message["contentType"], example.get("headers"))
    assert found == AcceptanceEvent.model_validate(MESSAGES["plain"]["examples"][0]["payload"])


@pytest.mark.parametrize("broken", [{"data": {}}, {"data": None}, {"specversion": "0.3"}, {"id": ""}])
def test_a_broken_cloud_event_is_invalid(broken: dict[str, object]) -> None:
    """The schema of the envelope tells of a fault in it, and of one in what it holds."""
    message = MESSAGES["structured"]
    assert not validator(message["payload"]).is_valid(message["examples"][0]["payload"] | broken)


def test_one_carrier_of_data_is_asked_for() -> None:
    """A CloudEvent has its data as JSON or as base64, and one of the two."""
    message = MESSAGES["structured"]
    event = message["examples"][0]["payload"]
    bare = {name: value for name, value in event.items() if name != "data"}
    valid = validator(message["payload"]).is_valid
    assert valid(bare | {"data_base64": "e30="})
    assert not valid(bare)
    assert not valid(event | {"data_base64": "e30="})


@pytest.mark.parametrize(("channel", "kind"), [("acceptances", "queues"), ("outcomes", "topics")])
def test_what_it_says_of_service_bus_is_provisioned(channel: str, kind: str) -> None:
    """Address and settings in the extension are those of the queue and the topic in infra/."""
    said = DOCUMENT["channels"][channel]
    entities = json.loads((ROOT / "infra" / "service-bus.json").read_text())[kind]
    [entity] = [entity for entity in entities if entity["name"] == said["address"]]
    settings = dict(said[asyncapi.EXTENSION])
    assert f"{settings.pop('entity')}s" == kind
    # A queue has no sessions unless it says so.
    assert settings.items() <= ({"requiresSession": False} | entity["properties"]).items()


def test_the_schemas_name_their_versions() -> None:
    """Each names the published schema that says the same."""
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["AcceptanceEvent"]["x-schema-id"] == events.SCHEMA_ID
    assert schemas["OutcomeEvent"]["x-schema-id"] == SCHEMA_ID


def test_what_an_outcome_can_be_filtered_by_is_told() -> None:
    """The properties of an outcome's message are those that are sent: all of them, or only the required."""
    headers = MESSAGES["outcome"]["headers"]
    for outcome, names in ((REJECTED, headers["properties"]), (Confirmed(), headers["required"])):
        telling = Telling()
        attempt = ASKED if outcome is REJECTED else Attempt()
        telling.tell(outcome, attempt=attempt)
        [(message, _)] = telling.sent
        assert set(properties(message)) == set(names)
