from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from agreements.messages import ParkedMessage, Place
from agreements.selection import Selection, customer_of, event_ids, parse_time
from tests import fakes
from tests.fakes import CUSTOMER, NOW, parked

HOUR = timedelta(hours=1)
OTHER = "22222222-0000-4000-8000-000000000000"
DEAD = Place("agreement-acceptances", dead=True)
# As a publisher sent it and the broker gave up on it: nothing of ours on it, whatever its names say.
FOREIGN: dict[str, Any] = {"mcaOrigin": None, "mcaReason": None, "mcaEventId": None}


@pytest.mark.parametrize(
    "selection",
    [
        Selection(),
        Selection(reasons=frozenset({"refused"})),
        Selection(error_codes=frozenset({"2000"})),
        Selection(customer=str(CUSTOMER)),
        Selection(event_ids=frozenset({"event-7"})),
        Selection(sequence_numbers=frozenset({7})),
        Selection(since=NOW, until=NOW + HOUR),
        Selection(where={"source": "crm"}),
    ],
)
def test_a_message_that_fits_is_chosen(selection: Selection) -> None:
    """Each filter lets pass what is as it says."""
    assert selection.mismatch(parked(properties={"mcaErrorCode": "2000"})) is None


@pytest.mark.parametrize(
    ("selection", "why"),
    [
        (Selection(reasons=frozenset({"superseded"})), "another reason"),
        (Selection(error_codes=frozenset({"2000"})), "another error code"),
        (Selection(customer=OTHER), "another customer"),
        (Selection(event_ids=frozenset({"event-8"})), "another event id"),
        (Selection(sequence_numbers=frozenset({8})), "another sequence number"),
        (Selection(since=NOW + HOUR), "another time"),
        (Selection(until=NOW), "another time"),
        (Selection(where={"source": "erp"}), "another property"),
        (Selection(where={"absent": ""}), "another property"),
    ],
)
def test_a_message_that_does_not_fit_is_told_why(selection: Selection, why: str) -> None:
    """Each filter says why it does not let a message pass."""
    assert selection.mismatch(parked()) == why


@pytest.mark.parametrize(
    ("message", "customer"),
    [
        (parked(properties={"mcaCustomerTenantId": OTHER.upper()}), OTHER),
        (parked(properties={"mcaCustomerTenantId": None}), str(CUSTOMER)),
        (parked(place=DEAD, properties=FOREIGN | {"mcaCustomerTenantId": OTHER}), str(CUSTOMER)),
        (parked(place=DEAD, body=b"?", properties=FOREIGN), None),
    ],
    ids=["ours", "from-the-event", "not-believed", "unreadable"],
)
def test_the_customer_is_found(message: ParkedMessage, customer: str | None) -> None:
    """By our property on a copy of ours, else by the event itself."""
    assert customer_of(message) == customer


def test_an_event_is_found_by_every_id_it_has() -> None:
    """By the publisher's id, the message id, the origin, the position, and the CloudEvent's id.

    The CloudEvent's with its source, and alone too: it comes back alone as ``causationid`` of what is told.
    """
    cloud = b'{"specversion": "1.0", "source": "crm", "id": "1", "data": {}}'
    assert event_ids(parked(body=cloud)) == {
        "event-7",
        "id-7",
        "agreement-acceptances/7/2026-03-02T09:30:00.000Z",
        "agreement-rejections/7/2026-03-02T09:30:00.000Z",
        "crm 1",
        "1",
    }
    assert "event-7" in event_ids(parked(body=b"?"))


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("15m", NOW - timedelta(minutes=15)),
        ("1.5h", NOW - 1.5 * HOUR),
        ("7d", NOW - timedelta(days=7)),
        ("2026-03-02", datetime(2026, 3, 2, tzinfo=NOW.tzinfo)),
        ("2026-03-02T10:30+01:00", datetime(2026, 3, 2, 10, 30, tzinfo=timezone(HOUR))),
    ],
)
def test_a_time_is_an_instant_or_ago(text: str, at: datetime) -> None:
    """ISO 8601, in UTC without a zone, or how long ago."""
    assert parse_time(text, NOW) == at


@pytest.mark.parametrize("text", ["", "soon", "2", "2w", "-2h"])
def test_a_time_that_is_neither_is_refused(text: str) -> None:
    """A filter that was misread could choose the wrong messages."""
    with pytest.raises(ValueError, match=r".*"):
        parse_time(text, NOW)


def test_the_event_of_a_copy_is_read_as_the_app_reads_it() -> None:
    """A CloudEvent in binary mode needs its properties to be read."""
    binary = parked(
        body=fakes.body(), properties={"cloudEvents_specversion": "1.0", "mcaCustomerTenantId": None}
    )
    assert customer_of(binary) == str(CUSTOMER)
