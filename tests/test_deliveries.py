from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agreements import deliveries, identity
from agreements.deliveries import Delivery, Property, RetryKind, Scalar
from tests.fakes import CORRELATION, NOW, PLANTED, REPEATS, REQUEST, delivery, message, time_zone

ACCEPTANCES, RETRIES = "agreement-acceptances", "agreement-retries"
POSITION = "agreement-acceptances/7/2026-03-02T09:30:00.000Z"
OURS: dict[str, object] = {
    "mcaOrigin": "agreement-acceptances/1/2026-03-01T00:00:00.000Z",
    "mcaAttempt": 4,
    "mcaReplay": 2,
    "mcaMaybeRecorded": True,
    "mcaRetryKind": "throttled",
    "mcaRetryingSince": "2026-03-01T10:00:00.000001Z",
    "mcaFirstEnqueuedTime": "2026-03-01T09:00:00.000000Z",
    "mcaEventId": "contoso/4711",
    "mcaRequestId": str(REQUEST),
}

TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds are naive by contract
STALE = ["Diagnostic-Id", "traceparent", "tracestate"]
NAMES = st.text(max_size=20).filter(lambda name: name not in {*Property, *STALE})
SCALARS = st.text(max_size=20) | st.integers(-(2**31), 2**31 - 1) | st.booleans() | st.floats(allow_nan=False)


def receive(queue: str = ACCEPTANCES, *, ours: bool = False, **changes: Any) -> Delivery:
    """Receive a message of a publisher, or of ours."""
    return deliveries.receive(message(**changes), queue=queue, ours=ours)


def returned(properties: dict[str, object]) -> Delivery:
    """Receive a copy of ours from the retries queue."""
    return receive(RETRIES, ours=True, application_properties=properties)


def test_a_first_delivery_is_named_by_its_message() -> None:
    """A publisher's message starts everything: its position is the origin, its time the first time."""
    assert receive(body=b"whole", application_properties={"source": "crm"}) == Delivery(
        body=b"whole",
        content_type="application/json",
        position=POSITION,
        origin=POSITION,
        correlation_id=CORRELATION,
        event_id="an-id-of-the-publisher",
        delivery_count=1,
        properties={"source": "crm"},
        first_enqueued_time=NOW,
        attempt=1,
        replay=0,
        maybe_recorded=False,
        unanswered=None,
        retry_kind=None,
        retrying_since=None,
    )


def test_our_copy_carries_on_where_it_was() -> None:
    """On our own queue all that we wrote is believed."""
    found = returned(OURS)
    assert found.position.startswith("agreement-retries/7/")
    assert found.origin == "agreement-acceptances/1/2026-03-01T00:00:00.000Z"
    assert (found.attempt, found.replay, found.maybe_recorded) == (4, 2, True)
    assert (found.retry_kind, found.unanswered) == (RetryKind.THROTTLED, REQUEST)
    assert found.retrying_since == datetime(2026, 3, 1, 10, 0, 0, 1, tzinfo=UTC)
    assert found.first_enqueued_time == datetime(2026, 3, 1, 9, tzinfo=UTC)
    assert found.event_id == "contoso/4711"


def test_a_publisher_cannot_speak_for_us() -> None:
    """Our properties count for nothing, but for a replay, which is read before it is sent, and its name."""
    plain = receive()
    forged = receive(application_properties=OURS)
    assert (forged.replay, forged.event_id) == (2, OURS["mcaEventId"])
    assert forged.may_be_recorded
    others = set(Delivery.__slots__) - {"replay", "event_id"}
    assert {name: getattr(forged, name) for name in others} == {name: getattr(plain, name) for name in others}


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("mcaOrigin", "", "origin", "agreement-retries/7/2026-03-02T09:30:00.000Z"),
        ("mcaOrigin", 5, "origin", "agreement-retries/7/2026-03-02T09:30:00.000Z"),
        ("mcaAttempt", 0, "attempt", 1),
        ("mcaAttempt", -3, "attempt", 1),
        ("mcaAttempt", "4", "attempt", 1),
        ("mcaReplay", -1, "replay", 0),
        ("mcaReplay", "1", "replay", 0),
        ("mcaMaybeRecorded", "true", "maybe_recorded", False),
        ("mcaMaybeRecorded", 1, "maybe_recorded", False),
        ("mcaRetryKind", "unheard-of", "retry_kind", None),
        ("mcaRetryKind", 1, "retry_kind", None),
        ("mcaRetryingSince", "yesterday", "retrying_since", None),
        ("mcaRetryingSince", 5, "retrying_since", None),
        ("mcaRetryingSince", "2026-03-01T10:00:00", "retrying_since", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        (
            "mcaRetryingSince",
            "2026-03-01T10:00:00+02:00",
            "retrying_since",
            datetime(2026, 3, 1, 8, tzinfo=UTC),
        ),
        ("mcaFirstEnqueuedTime", "", "first_enqueued_time", NOW),
        ("mcaRequestId", "no-guid", "unanswered", None),
        ("mcaRequestId", 5, "unanswered", None),
    ],
)
def test_what_is_unreadable_was_never_written(name: str, value: object, field: str, expected: object) -> None:
    """A property of ours with a wrong type or value reads as if it were not there; nothing is raised."""
    assert getattr(returned({name: value}), field) == expected


def test_without_properties_a_copy_is_a_first_attempt() -> None:
    """A message in our queue without any property of ours still is a delivery."""
    assert receive(RETRIES, ours=True, application_properties=None).attempt == 1


@pytest.mark.parametrize("name", ["sequence_number", "enqueued_time_utc"])
def test_a_message_that_cannot_be_named_is_refused(name: str) -> None:
    """Without sequence number or enqueued time no id can be derived: better the broker delivers it again."""
    nameless: dict[str, Any] = {name: None}
    with pytest.raises(ValueError, match="no sequence number or no enqueued time"):
        receive(**nameless)


def test_sequence_number_zero_is_a_number() -> None:
    """Only a missing sequence number is refused, not zero."""
    assert receive(sequence_number=0).position == "agreement-acceptances/0/2026-03-02T09:30:00.000Z"


def test_an_enqueued_time_without_a_zone_is_utc() -> None:
    """The host may give a naive time: it is the broker's, in UTC, wherever the machine stands."""
    with time_zone("UTC+11"):
        assert receive(enqueued_time_utc=NOW.replace(tzinfo=None)) == receive()


@pytest.mark.parametrize(("told", "count"), [(None, 1), (0, 1), (1, 1), (2, 2)])
def test_deliveries_count_from_one(told: int | None, count: int) -> None:
    """A host that tells no delivery count, or zero, means the first."""
    assert receive(delivery_count=told).delivery_count == count


def test_the_event_id_is_the_publishers_message_id() -> None:
    """People search by the id that the publisher gave; without one, by the origin."""
    assert receive().event_id == "an-id-of-the-publisher"
    assert receive(message_id="").event_id == POSITION


def test_our_own_message_id_is_no_event_id() -> None:
    """A copy's message id is ours: without a carried event id the origin stands for it."""
    assert returned({"mcaOrigin": "the/origin"}).event_id == "the/origin"


def test_the_correlation_id_follows_the_origin() -> None:
    """Without a GUID of the publisher's, all attempts of one event share the one derived from its origin."""
    first = receive(correlation_id=None)
    again = receive(
        RETRIES, ours=True, correlation_id=None, application_properties={"mcaOrigin": first.origin}
    )
    assert first.correlation_id == again.correlation_id == identity.correlation_id(POSITION, None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, False), *((repeat, True) for repeat in REPEATS.values())],
    ids=["first", *REPEATS],
)
def test_when_an_event_may_be_recorded_already(changes: dict[str, Any], expected: bool) -> None:
    """A redelivery, a retry, a replay and a write without definite answer may all have been recorded."""
    assert delivery(**changes).may_be_recorded is expected


def test_what_comes_back_from_the_retries_queue_may_be_recorded() -> None:
    """A retry's original may have been delivered again: the copy alone cannot know what came of that."""
    assert returned({"mcaOrigin": POSITION, "mcaMaybeRecorded": False}).may_be_recorded


def test_a_delivery_does_not_show_what_the_publisher_wrote() -> None:
    """Wherever a delivery is shown, its body and the publisher's properties are not: they name people."""
    found = receive(application_properties={PLANTED[0]: 1, "signedBy": PLANTED[1]})
    assert POSITION in repr(found)
    assert not [planted for planted in [*PLANTED, "signedBy"] if planted in repr(found)]


def test_the_request_id_is_the_unanswered_one_again() -> None:
    """While an attempt is unanswered its id is used again, else each attempt has its own."""
    first = delivery()
    assert first.request_id == identity.request_id(first.origin, 1)
    assert delivery(attempt=2).request_id == identity.request_id(first.origin, 2)
    assert delivery(attempt=2, unanswered=REQUEST).request_id == REQUEST


def test_a_copy_has_the_publishers_and_our_properties() -> None:
    """What is unknown is not written; ours stand beside the publisher's, as plain strings."""
    copied = delivery(properties={"source": "crm"}).copy_properties(
        {Property.ATTEMPT: 2, Property.REPLAY: 0, Property.MAYBE_RECORDED: False, Property.ERROR_CODE: None}
    )
    assert copied == {"source": "crm", "mcaAttempt": 2, "mcaReplay": 0, "mcaMaybeRecorded": False}
    assert {type(name) for name in copied} == {str}


@pytest.mark.parametrize("name", [*Property, *STALE])
def test_ours_and_stale_ones_are_not_the_publishers(name: str) -> None:
    """Our old properties, traces and dead-letter marks never pass for the publisher's."""
    found = receive(application_properties={name: "x", "source": "crm"})
    assert found.properties == {"source": "crm"}


@pytest.mark.parametrize("value", [b"bytes", None, NOW, REQUEST, [1]], ids=lambda value: type(value).__name__)
def test_what_no_scalar_is_stays_behind(value: object) -> None:
    """A property that cannot be carried as text, number or truth is left out; the event goes on."""
    assert receive(application_properties={"odd": value, "source": "crm"}).properties == {"source": "crm"}


@pytest.mark.parametrize(
    ("value", "carried"),
    [
        (2**31 - 1, 2**31 - 1),
        (2**31, "2147483648"),
        (-(2**31), -(2**31)),
        (-(2**31) - 1, "-2147483649"),
        (1_772_443_800_000, "1772443800000"),
        (2**63, "9223372036854775808"),
        (True, True),
        (1.5, 1.5),
    ],
)
def test_numbers_that_the_sdk_refuses_become_text(value: Scalar, carried: Scalar) -> None:
    """The SDK writes an int in 32 bits or refuses the message: a larger one travels as text."""
    found = receive(application_properties={"number": value}).properties["number"]
    assert (found, type(found)) == (carried, type(carried))


@pytest.mark.parametrize("value", [2**31, 2**63, 2**64], ids=["32-bits", "63-bits", "64-bits"])
def test_a_replay_count_can_always_be_written(value: int) -> None:
    """Whatever a publisher calls its replay count, our copies can carry it: the SDK refuses 32 bits."""
    found = receive(application_properties={"mcaReplay": value})
    assert found.may_be_recorded
    assert found.replay < 2**31


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (datetime(2026, 3, 1, 10, 0, 0, 1, tzinfo=UTC), "2026-03-01T10:00:00.000001Z"),
        (datetime(2026, 3, 1, 10, tzinfo=timezone(timedelta(hours=2))), "2026-03-01T08:00:00.000000Z"),
    ],
    ids=["utc", "elsewhere"],
)
def test_times_are_written_in_utc(instant: datetime, text: str) -> None:
    """Our times are ISO 8601 in UTC, always to the microsecond."""
    assert deliveries.write_time(instant) == text


@given(
    origin=st.text(min_size=1, max_size=30),
    event_id=st.text(min_size=1, max_size=30),
    attempt=st.integers(1, 2**31 - 1),
    replay=st.integers(0, 2**31 - 1),
    maybe_recorded=st.booleans(),
    unanswered=st.none() | st.uuids(),
    retry_kind=st.none() | st.sampled_from(RetryKind),
    since=st.none() | TIMES,
    first=TIMES,
    properties=st.dictionaries(NAMES, SCALARS, max_size=3),
)
def test_what_a_copy_carries_is_read_back(  # noqa: PLR0913, RUF100 - one argument for each thing that is carried
    *,
    origin: str,
    event_id: str,
    attempt: int,
    replay: int,
    maybe_recorded: bool,
    unanswered: UUID | None,
    retry_kind: RetryKind | None,
    since: datetime | None,
    first: datetime,
    properties: dict[str, Scalar],
) -> None:
    """Everything that is written on a copy reads back equal on the retries queue, to the microsecond."""
    written = delivery(properties=properties).copy_properties(
        {
            Property.ORIGIN: origin,
            Property.EVENT_ID: event_id,
            Property.ATTEMPT: attempt,
            Property.REPLAY: replay,
            Property.MAYBE_RECORDED: maybe_recorded,
            Property.REQUEST_ID: str(unanswered) if unanswered else None,
            Property.RETRY_KIND: retry_kind,
            Property.RETRYING_SINCE: deliveries.write_time(since) if since else None,
            Property.FIRST_ENQUEUED_TIME: deliveries.write_time(first),
        }
    )
    assert returned(dict(written)) == Delivery(
        body=message().body,
        content_type="application/json",
        position="agreement-retries/7/2026-03-02T09:30:00.000Z",
        origin=origin,
        correlation_id=CORRELATION,
        event_id=event_id,
        delivery_count=1,
        properties=properties,
        first_enqueued_time=first,
        attempt=attempt,
        replay=replay,
        maybe_recorded=maybe_recorded,
        unanswered=unanswered,
        retry_kind=retry_kind,
        retrying_since=since,
    )


@given(st.dictionaries(st.sampled_from(Property), st.none() | SCALARS | st.binary() | TIMES))
def test_no_property_can_stop_a_delivery(properties: dict[str, object]) -> None:
    """Whatever stands in our properties, on our queue or another, the message becomes a delivery."""
    for ours in (True, False):
        found = receive(RETRIES, ours=ours, application_properties=properties)
        assert found.attempt >= 1
        assert found.replay >= 0
        assert found.first_enqueued_time.tzinfo is not None
