import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from agreements.errors import Reason
from agreements.messages import (
    AmqpType,
    BodyKind,
    ParkedMessage,
    Place,
    State,
    Value,
    advice,
    from_record,
    to_record,
)
from tests.fakes import NOW, parked

VALUES = [
    Value(AmqpType.NULL, None),
    Value(AmqpType.BOOLEAN, True),
    Value(AmqpType.INT, -7),
    Value(AmqpType.LONG, 2**40),
    Value(AmqpType.ULONG, 2**63),
    Value(AmqpType.FLOAT, 1.5),
    Value(AmqpType.DOUBLE, 0.1),
    Value(AmqpType.DECIMAL128, Decimal("1.10")),
    Value(AmqpType.TIMESTAMP, 1772443800123),
    Value(AmqpType.UUID, UUID(int=7)),
    Value(AmqpType.BINARY, b"\xff\x00"),
    Value(AmqpType.STRING, "Zoë"),
    Value(AmqpType.SYMBOL, "s"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.type)
def test_a_value_survives_json(value: Value) -> None:
    """What an export holds of a property is read back as the same value of the same type."""
    assert Value.from_record(json.loads(json.dumps(value.record()))) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Value(AmqpType.BOOLEAN, True), "true"),
        (Value(AmqpType.INT, 7), "7"),
        (Value(AmqpType.TIMESTAMP, 1772443800000), "2026-03-02T09:30:00+00:00"),
        (Value(AmqpType.BINARY, b"\xff"), "/w=="),
        (Value(AmqpType.STRING, "x"), "x"),
    ],
    ids=lambda value: getattr(value, "type", ""),
)
def test_a_value_reads_as_text(value: Value, text: str) -> None:
    """A filter and a person see a value as this text."""
    assert value.text == text


@pytest.mark.parametrize("path", ["agreement-retries", "agreement-retries/$DeadLetterQueue"])
def test_a_place_is_a_path(path: str) -> None:
    """A place reads and writes as Service Bus writes it."""
    assert str(Place.parse(path)) == path
    assert Place.parse(path).queue == "agreement-retries"


@pytest.mark.parametrize(
    ("dead", "properties", "reason"),
    [
        (False, {}, "Refused"),
        (True, {"DeadLetterReason": "MaxDeliveryCountExceeded"}, "MaxDeliveryCountExceeded"),
        (False, {"mcaReason": None, "DeadLetterReason": "Odd"}, "Odd"),
        (True, {}, "Refused"),
        (False, {"mcaReason": None}, ""),
    ],
    ids=["ours", "brokers", "only-brokers", "dead-with-ours", "none"],
)
def test_the_reason_is_the_last_ones_to_park_it(dead: bool, properties: dict[str, Any], reason: str) -> None:
    """In a dead-letter queue the broker's reason counts, elsewhere ours."""
    message = parked(place=Place("q", dead=dead), properties=properties)
    assert message.reason == reason
    assert message.advice == advice(reason)


@pytest.mark.parametrize(
    ("reason", "start"),
    [("Refused", Reason.REFUSED.advice), ("TTLExpiredException", "It expired"), ("odd", "Another program")],
)
def test_every_reason_has_advice(reason: str, start: str) -> None:
    """Ours, the broker's and anybody else's."""
    assert advice(reason).startswith(start)


@pytest.mark.parametrize(
    ("count", "replay"), [(None, 0), (2, 2), (-1, 0), ("2", 0)], ids=["none", "two", "negative", "text"]
)
def test_the_replay_count_is_read_leniently(count: object, replay: int) -> None:
    """A count that nobody of ours wrote counts as none."""
    assert parked(properties={"mcaReplay": count}).replay == replay


@pytest.mark.parametrize(
    ("changes", "event_id"),
    [
        ({}, "event-7"),
        ({"properties": {"mcaEventId": None}}, "id-7"),
        (
            {"properties": {"mcaEventId": None}, "message_id": None},
            "agreement-rejections/7/2026-03-02T09:30:00.000Z",
        ),
    ],
    ids=["ours", "message-id", "position"],
)
def test_an_event_has_always_an_id(changes: dict[str, Any], event_id: str) -> None:
    """The publisher's if there is one, else what names the message."""
    assert parked(**changes).event_id == event_id


@pytest.mark.parametrize(
    "changes",
    [{"body": b"x"}, {"message_id": "y"}, {"sequence_number": 8}, {"enqueued_time": NOW.replace(hour=1)}],
    ids=lambda changes: next(iter(changes)),
)
def test_another_message_has_another_fingerprint(changes: dict[str, Any]) -> None:
    """What was planned is told from what came in its place; how often it was delivered does not matter."""
    message = parked()
    assert parked(delivery_count=3).fingerprint == message.fingerprint
    assert parked(**changes).fingerprint != message.fingerprint
    assert len(message.fingerprint) == 16


FULL = ParkedMessage(
    place=Place("agreement-retries", dead=True),
    sequence_number=2**49 + 1,
    enqueued_time=datetime(2026, 3, 2, 9, 30, 0, 123000, tzinfo=UTC),
    body=b"\xff\xfe",
    body_kind=BodyKind.VALUE,
    state=State.SCHEDULED,
    delivery_count=3,
    scheduled_for=NOW,
    message_id="m",
    content_type="t",
    content_encoding="e",
    correlation_id="c",
    subject="s",
    to="to",
    reply_to="r",
    session_id="i",
    reply_to_session_id="ri",
    partition_key="p",
    properties={value.type: value for value in VALUES},
)


@pytest.mark.parametrize("message", [FULL, parked()], ids=["everything", "usual"])
def test_a_message_survives_an_export(message: ParkedMessage) -> None:
    """Body, kind of body, every field and every property come back as they were."""
    assert from_record(json.dumps(to_record(message))) == (message, message.fingerprint)


def test_a_text_body_can_be_mended_in_an_editor() -> None:
    """A body in UTF-8 stands in the file as text."""
    assert to_record(parked(body="{é}".encode()))["body"] == "{é}"


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"place": 1}', "null"])
def test_a_line_that_is_none_is_refused(line: str) -> None:
    """What is no line of an export is told apart, without showing it."""
    with pytest.raises(ValueError, match=r"^not a line of an export$"):
        from_record(line)


def test_no_value_is_shown_by_accident() -> None:
    """A message in a log or a traceback shows neither body nor properties."""
    message = parked(properties={"name": "Quintanilla"})
    assert "Quintanilla" not in repr(message)
    assert message.plain_properties["name"] == "Quintanilla"


@pytest.mark.parametrize("milliseconds", [10**17, -(10**17)])
def test_a_timestamp_beyond_the_calendar_is_a_number(milliseconds: int) -> None:
    """What a publisher should not have sent hides no other message."""
    assert Value(AmqpType.TIMESTAMP, milliseconds).text == str(milliseconds)
