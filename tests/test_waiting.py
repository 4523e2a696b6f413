from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from agreements.errors import Reason
from agreements.messages import ParkedMessage, Place, State
from agreements.waiting import Waiting, waiting
from tests import fakes
from tests.fakes import NOW, REJECTIONS, parked

RETRIES = Place("agreement-retries")
LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def others() -> Iterator[Waiting]:
    with waiting(NOW) as index:
        yield index


def agreed(at: str, place: Place = REJECTIONS, **changes: Any) -> ParkedMessage:
    return parked(place=place, body=fakes.body(dateAgreed=at), **changes)


def test_the_newest_of_a_customer_is_known(others: Waiting) -> None:
    """By the event's own date, whenever it was enqueued and wherever it lies; and never itself."""
    others.add(agreed("2026-02-01T10:00:00+02:00"))
    others.add(agreed("2026-03-01T00:00:00Z", RETRIES, state=State.SCHEDULED))
    others.add(agreed("2026-02-02", enqueued_time=LATER))
    assert others.newer(fakes.event(dateAgreed="2026-02-01T08:00:00Z")) == "agreement-retries"
    assert others.newer(fakes.event(dateAgreed="2026-03-01T02:00:00+02:00")) is None
    assert others.newer(fakes.event(dateAgreed="2026-01-01", customerTenantId=str(fakes.REQUEST))) is None


def test_what_is_no_event_makes_no_other_old(others: Waiting) -> None:
    """Nor does a date that is to be mended; one that has come by now does."""
    others.add(parked(body=b"?", properties={"mcaReplay": 1, "mcaCustomerTenantId": None}))
    others.add(agreed("2099-01-01", properties={"mcaReason": "DateInFuture"}))
    assert others.newer(fakes.event(dateAgreed="2026-02-01")) is None
    others.add(agreed("2026-03-01", properties={"mcaReason": "DateInFuture"}))
    assert others.newer(fakes.event(dateAgreed="2026-02-01")) == "agreement-rejections"


@pytest.mark.parametrize(
    ("changes", "since"),
    [
        ({"enqueued_time": LATER, "properties": {"mcaReplay": 1}}, True),
        ({"enqueued_time": LATER}, False),
        ({"properties": {"mcaReplay": 1}}, False),
        ({"enqueued_time": LATER, "properties": {"mcaReplay": 1, "mcaReason": "Empty"}}, False),
        (
            {
                "enqueued_time": LATER,
                "properties": {"mcaReplay": 1, "mcaCustomerTenantId": str(fakes.REQUEST)},
            },
            False,
        ),
    ],
    ids=["later", "no-replay", "not-later", "another-reason", "another-customer"],
)
def test_what_came_back_is_known(others: Waiting, changes: dict[str, Any], since: bool) -> None:
    """Of this customer, from a replay, for the same reason, and later."""
    others.add(parked(8, **changes))
    others.add(parked(9, properties={"mcaReplay": 1}, enqueued_time=NOW - timedelta(days=1)))
    assert others.came_back_since(parked()) is since


def test_refusals_of_the_app_are_counted(others: Waiting) -> None:
    """Those of scheduled retries alone: what was parked for one is of another time."""
    refused = {"mcaReason": "MfaMissing"}
    others.add(parked(1, place=RETRIES, state=State.SCHEDULED, properties=refused))
    others.add(parked(2, place=RETRIES, state=State.SCHEDULED, properties={"mcaReason": "Throttled"}))
    others.add(parked(3, properties=refused))
    assert others.refusals == {Reason.MFA_MISSING: 1}


def test_an_index_without_room_is_an_error_of_this_machine() -> None:
    """Told as a disk that is full is told."""

    def use() -> None:
        with waiting(NOW) as index:
            index._database.execute("PRAGMA max_page_count = 1")  # noqa: SLF001 - a disk that is full
            for number in range(1000):
                index.add(parked(body=fakes.body(customerTenantId=f"{number:08}{str(fakes.CUSTOMER)[8:]}")))

    with pytest.raises(OSError, match=r"the index of what waits cannot be kept: .*full"):
        use()
