from typing import Any

import pytest

from agreements.errors import Reason
from agreements.messages import Place, advice
from tests.fakes import NOW, parked


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


def test_no_value_is_shown_by_accident() -> None:
    """A message in a log or a traceback shows neither body nor properties."""
    message = parked(properties={"name": "Quintanilla"})
    assert "Quintanilla" not in repr(message)
    assert message.plain_properties["name"] == "Quintanilla"
