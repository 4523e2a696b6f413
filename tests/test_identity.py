from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agreements import identity
from tests.fakes import time_zone

AT = datetime(2026, 3, 2, 9, 30, 15, 123999, tzinfo=UTC)
ORIGIN = "agreement-acceptances/7/2026-03-02T09:30:15.123Z"
NAMES = st.text(min_size=1, max_size=20)
QUEUES = st.from_regex(r"[a-z-]{1,20}", fullmatch=True)


def test_position_names_queue_number_and_time() -> None:
    """A position reads as queue, sequence number and enqueued time in UTC, cut to milliseconds."""
    assert identity.position("agreement-acceptances", 7, AT) == ORIGIN


def test_position_is_the_same_in_every_zone() -> None:
    """The same instant, told in another zone, names the same message."""
    elsewhere = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert identity.position("agreement-acceptances", 7, elsewhere) == ORIGIN


def test_position_is_the_same_wherever_the_machine_stands() -> None:
    """The machine's own time zone has no part in a message's name."""
    with time_zone("Asia/Kolkata"):
        assert identity.position("agreement-acceptances", 7, AT) == ORIGIN


@pytest.mark.parametrize(
    "other",
    [
        identity.position("agreement-retries", 7, AT),
        identity.position("agreement-acceptances", 8, AT),
        identity.position("agreement-acceptances", 7, AT + timedelta(milliseconds=1)),
    ],
    ids=["queue", "number", "time"],
)
def test_positions_differ_when_one_part_does(other: str) -> None:
    """Another queue, number or enqueued time is another message: a queue made anew counts from the start."""
    assert other != identity.position("agreement-acceptances", 7, AT)


def test_ids_stay_what_they_were() -> None:
    """A new release names a repeat as the old one did: these values are on the wire and must not change."""
    assert str(identity.request_id("q/1/t", 1)) == "521d17f6-27ac-5c1e-a42e-81996bf7a09d"
    assert str(identity.correlation_id("q/1/t", None)) == "d2f5e475-6e04-5fcd-b6a1-ffe9247f09d6"
    assert identity.parked_message_id("q/1/t", "rejections") == "4d316300-ecaa-53da-b44e-7b1956e95c08"
    assert identity.retry_message_id("q/1/t") == "e7e64561-3570-5063-b4e7-fb65a0f6acb2"
    assert str(identity.acceptance_event_id("c", "t", None)) == "565e278c-1f89-5e21-826a-95b0117a46c4"
    assert identity.replay_message_id("q/1/t") == "79325b3e-d871-5c95-8f3d-698e3a003d90"


@given(NAMES, NAMES, st.integers(1, 1000), st.integers(1, 1000))
def test_request_ids_are_one_per_origin_and_attempt(one: str, two: str, first: int, second: int) -> None:
    """Two attempts share a request id exactly if they are the same attempt for the same message."""
    same = (one, first) == (two, second)
    assert (identity.request_id(one, first) == identity.request_id(two, second)) is same


@given(NAMES, NAMES, QUEUES, QUEUES)
def test_parked_ids_are_one_per_origin_and_queue(one: str, two: str, first: str, second: str) -> None:
    """An event is parked once in each queue: same origin and queue, same id; otherwise another."""
    same = (one, first) == (two, second)
    assert (identity.parked_message_id(one, first) == identity.parked_message_id(two, second)) is same


@pytest.mark.parametrize("message_id", [identity.retry_message_id, identity.replay_message_id])
@given(NAMES, NAMES)
def test_ids_of_copies_are_one_per_message(message_id: Callable[[str], str], one: str, two: str) -> None:
    """Sending a retry or a replay of the same broker message again names it the same; another's differs."""
    assert (message_id(one) == message_id(two)) is (one == two)


@given(NAMES)
def test_ids_of_different_use_never_meet(origin: str) -> None:
    """No id of one use is the id of another, whatever the origin."""
    ids = {
        str(identity.request_id(origin, 1)),
        str(identity.correlation_id(origin, None)),
        identity.parked_message_id(origin, "1"),
        identity.retry_message_id(origin),
        identity.replay_message_id(origin),
    }
    assert len(ids) == 5


@pytest.mark.parametrize(
    "given_id",
    [
        "ab993325-1605-4cf4-bac4-fb584142a31b",
        "AB993325-1605-4CF4-BAC4-FB584142A31B",
        "{ab993325-1605-4cf4-bac4-fb584142a31b}",
        "ab99332516054cf4bac4fb584142a31b",
    ],
    ids=["plain", "capitals", "braces", "without-hyphens"],
)
def test_the_publishers_correlation_guid_is_kept(given_id: str) -> None:
    """A GUID of the publisher's goes through to Microsoft, however it is written."""
    assert identity.correlation_id(ORIGIN, given_id) == UUID("ab993325-1605-4cf4-bac4-fb584142a31b")


@pytest.mark.parametrize(
    "given_id", [None, "", "order-4711", "ab993325"], ids=["none", "empty", "text", "short"]
)
def test_without_a_guid_the_correlation_id_is_the_origins(given_id: str | None) -> None:
    """What is no GUID gives way to one derived from the origin: the same for every repeat."""
    assert identity.correlation_id(ORIGIN, given_id) == identity.correlation_id(ORIGIN, None)
    assert identity.correlation_id(ORIGIN, given_id) != identity.correlation_id("another", given_id)


def test_an_event_of_a_file_is_named_by_what_it_says() -> None:
    """No two texts run together, and one that is absent is not one that is empty."""
    given = [("a", "bc"), ("ab", "c"), ("abc", None), ("abc", ""), ("abc",), ("bc", "a")]
    assert len({identity.acceptance_event_id(*parts) for parts in given}) == len(given)
