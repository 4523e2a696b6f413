"""Telling each event's way, and accounting for all of them."""

import json

import pytest

from local.bus import Waiting
from local.journey import Journey, Way, account, describe, table

QUEUES = {
    "RETRIES_QUEUE": "agreement-retries",
    "DUPLICATES_QUEUE": "agreement-duplicates",
    "REJECTIONS_QUEUE": "agreement-rejections",
}


def waiting(place: str, correlation_id: str, reason: str = "") -> Waiting:
    return Waiting(
        place=place,
        sequence_number=1,
        message_id="m",
        correlation_id=correlation_id,
        outcome="Parked",
        reason=reason,
        advice="",
    )


def told(outcome: str, **more: object) -> Way:
    return Way("an-event", [{"outcome": outcome, **more}])


def test_a_way_is_told_step_by_step() -> None:
    """Publishing and each log line are told under the event's name; other lines as they are."""
    lines: list[str] = []
    journey = Journey(lines.append)
    journey.published("01-new", "c1")
    journey.heard(
        json.dumps({"outcome": "Confirmed", "correlationId": "c1", "apiMilliseconds": 3, "attempt": 1})
    )
    journey.heard("a line of the app")
    journey.heard(json.dumps({"outcome": "Confirmed", "correlationId": "12345678-9"}))
    steps = [line[14:] for line in lines if line != "a line of the app"]
    assert steps[0].split() == ["01-new", "published"]
    assert steps[1].split() == ["01-new", "Confirmed", "(3", "ms", "in", "the", "API,", "attempt", "1)"]
    assert steps[2].startswith("event 12345678")
    assert "a line of the app" in lines
    assert journey.steps == 3


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            {"outcome": "Confirmed", "recovered": True},
            "Confirmed: it was on record already, by an earlier attempt of ours",
        ),
        (
            {
                "outcome": "Retry",
                "reason": "Throttled",
                "httpStatus": 429,
                "retryAt": "2026-11-21T05:28:09.861+00:00",
            },
            "Retry: Throttled (HTTP 429), again at 05:28:09.861",
        ),
        ({"outcome": "Rejected", "reason": "NotJson"}, "Rejected: NotJson"),
    ],
)
def test_a_log_line_in_words(line: dict[str, object], words: str) -> None:
    """A log line is told in a few words."""
    assert describe(line) == words


def test_what_publishers_are_told_is_shown() -> None:
    """An outcome event is a line under its event's name, and counts by what it tells; it is no step."""
    lines: list[str] = []
    journey = Journey(lines.append)
    journey.published("05-not-json", "c1")
    kind = "agreements.acceptance.{}.v1".format
    journey.outcome(
        "c1",
        {"type": kind("rejected"), "data": {"outcome": "rejected", "eventId": "4711", "reason": "NotJson"}},
    )
    journey.outcome(
        "12345678-9", {"type": kind("confirmed"), "subject": "a-guid", "data": {"outcome": "confirmed"}}
    )
    words = [" ".join(line[14:].split()) for line in lines[1:]]
    assert words == [
        "05-not-json told agreements.acceptance.rejected.v1, event 4711, NotJson",
        "event 12345678 told agreements.acceptance.confirmed.v1, customer a-guid",
    ]
    assert journey.steps == 1
    assert journey.told == {"rejected": 1, "confirmed": 1}


def test_every_event_in_one_place_is_accounted_for() -> None:
    """Queues, ledger and log agree: the account is complete, and its counts add up to what was published."""
    ways = {
        "c1": told("Confirmed"),
        "c2": told("Confirmed", recovered=True),
        "c3": told("Duplicate"),
        "c4": told("Rejected"),
        "c5": told("Retry"),
    }
    lying = [
        waiting("agreement-duplicates", "c3", "AlreadyRecorded"),
        waiting("agreement-rejections", "c4", "NotJson"),
        waiting("agreement-retries", "c5"),
    ]
    found = account(ways, lying, [{"correlationId": "c1"}, {"correlationId": "c2"}], {"confirmed": 2}, QUEUES)
    assert found.complete
    assert found.summary == {
        "published": 5,
        "confirmed": 2,
        "recovered": 1,
        "duplicates": 1,
        "rejections": {"NotJson": 1},
        "retriesPending": 1,
        "ledger": 2,
        "told": {"confirmed": 2},
    }


@pytest.mark.parametrize(
    ("way", "lying", "recorded", "fault"),
    [
        (Way("lost"), [], [], "nowhere"),
        (told("Retry"), [], [], "nowhere"),
        (told("Confirmed"), [], [], "nowhere"),
        (told("Confirmed"), [], ["c", "c"], "ledger and ledger"),
        (told("Rejected"), ["agreement-duplicates"], ["c"], "agreement-duplicates and ledger"),
        (told("Rejected"), ["agreement-rejections"] * 2, [], "agreement-rejections and agreement-rejections"),
    ],
    ids=[
        "never seen",
        "retry lost",
        "claimed only",
        "recorded twice",
        "recorded and parked",
        "parked twice",
    ],
)
def test_an_event_that_is_not_in_one_place_is_a_fault(
    way: Way, lying: list[str], recorded: list[str], fault: str
) -> None:
    """Nothing and two of something are both told, and the account is not complete."""
    ledger = [{"correlationId": key} for key in recorded]
    found = account({"c": way}, [waiting(place, "c") for place in lying], ledger, {}, QUEUES)
    assert not found.complete
    assert found.endings[0].fault == fault
    assert "NOT IN ONE PLACE" in table(found)


def test_a_parked_double_that_was_delivered_again_lies_where_it_was_parked() -> None:
    """After a crash between parking and completing, the record of an equal event does not count for it."""
    way = Way("double", [{"outcome": "Duplicate"}, {"outcome": "Confirmed", "recovered": True}])
    found = account(
        {"c": way}, [waiting("agreement-duplicates", "c")], [{"correlationId": "other"}], {}, QUEUES
    )
    assert found.complete
    assert (found.summary["duplicates"], found.summary["confirmed"], found.summary["recovered"]) == (1, 0, 0)


def test_a_record_counts_when_its_log_line_was_lost() -> None:
    """A host that is killed after recording writes no line: the ledger knows."""
    found = account({"c": Way("killed")}, [], [{"correlationId": "c"}], {}, QUEUES)
    assert (found.complete, found.summary["confirmed"]) == (True, 1)


def test_each_row_ends_in_a_command() -> None:
    """The last column can be pasted, whatever the width of the terminal."""
    found = account(
        {"c": told("Duplicate")}, [waiting("agreement-duplicates", "c", "AlreadyRecorded")], [], {}, QUEUES
    )
    assert table(found).splitlines()[-1].endswith("make look AT='agreement-duplicates'")
