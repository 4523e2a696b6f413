"""The audit itself: each way in which an event can go wrong is found."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from local.bus import Told, Waiting
from tests.chaos.audit import Published, audit, audit_told, told

GOOD, TWICE, BAD = (f"{number:08x}-beef-4000-8000-000000000000" for number in range(3))


def published(key: int, customer: str, *, refused: bool = False) -> Published:
    return Published(f"{key:08x}-0000-4000-8000-000000000000", customer, b"{}", refused)


EVENTS = [published(1, GOOD), published(2, TWICE), published(3, TWICE), published(4, BAD, refused=True)]
FIRST, SECOND, DOUBLE, REFUSED = (event.correlation_id for event in EVENTS)


def waiting(key: str, place: str, reason: str) -> Waiting:
    return Waiting(
        place=place,
        sequence_number=1,
        message_id="",
        correlation_id=key,
        outcome="",
        reason=reason,
        advice="",
    )


def recorded(key: str, customer: str) -> dict[str, object]:
    return {"customerTenantId": customer, "correlationId": key, "requestId": f"for {key}"}


WAITING = [
    waiting(DOUBLE, "agreement-duplicates", "AlreadyRecorded"),
    waiting(REFUSED, "agreement-rejections", "Refused"),
]
LEDGER = [recorded(FIRST, GOOD), recorded(SECOND, TWICE)]
TOLD = {
    FIRST[:8]: ["Confirmed (5 ms in the API, attempt 1)"],
    SECOND[:8]: ["Confirmed: it was on record already, by an earlier attempt of ours", "Retry: Unavailable"],
    DOUBLE[:8]: ["Duplicate: AlreadyRecorded (HTTP 400)"],
    REFUSED[:8]: ["Retry: Throttled (HTTP 429)", "Rejected: Refused (HTTP 400)"],
}
RECOVERED = TOLD | {DOUBLE[:8]: TOLD[SECOND[:8]]}


def test_an_honest_end_is_passed() -> None:
    """Where everything ended well, the audit tells how the ones published twice ended."""
    assert audit(EVENTS, WAITING, LEDGER, TOLD) == {"parked as AlreadyRecorded": 1}
    again = "parked as AlreadyRecorded, and found on record when it was delivered again"
    assert audit(EVENTS, WAITING, LEDGER, RECOVERED) == {again: 1}
    assert audit(EVENTS, WAITING[1:], LEDGER, RECOVERED) == {"found on record when it was tried again": 1}


def outcome(key: str, customer: str, what: str, reason: str | None = None, id_: str = "end") -> Told:
    data = {"outcome": what, "final": what != "delayed", "customerTenantId": customer}
    event = {"id": f"{key} {id_}", "data": data | ({"reason": reason} if reason else {})}
    return Told(sequence_number=1, correlation_id=key, event=event)


OUTCOMES = [
    outcome(FIRST, GOOD, "confirmed"),
    outcome(SECOND, TWICE, "delayed", "Unavailable", id_="delay"),
    outcome(SECOND, TWICE, "recovered"),
    outcome(DOUBLE, TWICE, "duplicate", "AlreadyRecorded"),
    outcome(REFUSED, BAD, "rejected", "Refused"),
]


def test_what_was_told_truly_is_passed() -> None:
    """Each publisher learns the end of its event, once after repeats are dropped, and it is so."""
    counts = {"confirmed": 1, "delayed": 1, "recovered": 1, "duplicate": 1, "rejected": 1}
    assert audit_told(EVENTS, WAITING, LEDGER, OUTCOMES * 2) == counts
    assert audit_told(EVENTS, WAITING[1:], LEDGER, OUTCOMES) == counts
    again = [*OUTCOMES[:3], outcome(DOUBLE, TWICE, "recovered"), OUTCOMES[4]]
    assert audit_told(EVENTS, WAITING[1:], LEDGER, again)["recovered"] == 2


type Wrong = Callable[[], object]


def told_instead(number: int, *instead: Told) -> Wrong:
    """Return an audit of what was told, with something else in the place of one."""
    return lambda: audit_told(
        EVENTS, WAITING, LEDGER, [*OUTCOMES[:number], *instead, *OUTCOMES[number + 1 :]]
    )


TOLD_WRONGLY: dict[str, Wrong] = {
    "no end told": told_instead(0),
    "only a delay told": told_instead(0, outcome(FIRST, GOOD, "delayed")),
    "two ends told": told_instead(
        0, outcome(FIRST, GOOD, "confirmed"), outcome(FIRST, GOOD, "rejected", "Refused", id_="other")
    ),
    "two delays told": told_instead(1, *(outcome(SECOND, TWICE, "delayed", id_=id_) for id_ in "ab")),
    "told of nobody's event": told_instead(0, OUTCOMES[0], outcome("unknown", GOOD, "confirmed")),
    "told of another customer": told_instead(0, outcome(FIRST, TWICE, "confirmed")),
    "a record told as a duplicate": told_instead(0, outcome(FIRST, GOOD, "duplicate", "AlreadyRecorded")),
    "a record told as rejected": told_instead(0, outcome(FIRST, GOOD, "rejected", "RetriesExhausted")),
    "a duplicate told as confirmed": told_instead(3, outcome(DOUBLE, TWICE, "confirmed")),
    "a duplicate told for another reason": told_instead(
        3, outcome(DOUBLE, TWICE, "duplicate", "OtherRecorded")
    ),
    "a double that lies nowhere told as confirmed": lambda: audit_told(
        EVENTS, WAITING[1:], LEDGER, [*OUTCOMES[:3], outcome(DOUBLE, TWICE, "confirmed"), OUTCOMES[4]]
    ),
    "a rejection told as confirmed": told_instead(4, outcome(REFUSED, BAD, "confirmed")),
}

WRONG: dict[str, Wrong] = {
    "a lost event": lambda: audit(EVENTS, WAITING, LEDGER[1:], TOLD),
    "an event recorded twice": lambda: audit(EVENTS, WAITING, [*LEDGER, recorded(DOUBLE, TWICE)], TOLD),
    "a request id recorded twice": lambda: audit(
        EVENTS, WAITING, [agreement | {"requestId": "the same"} for agreement in LEDGER], TOLD
    ),
    "an event recorded for another customer": lambda: audit(
        EVENTS, WAITING, [recorded(FIRST, TWICE), recorded(SECOND, GOOD)], TOLD
    ),
    "a refused event on record": lambda: audit(EVENTS, WAITING, [*LEDGER, recorded(REFUSED, BAD)], TOLD),
    "an own record in duplicates": lambda: audit(
        EVENTS, [*WAITING, waiting(FIRST, "agreement-duplicates", "AlreadyRecorded")], LEDGER, TOLD
    ),
    "an own record still on its way": lambda: audit(
        EVENTS, [*WAITING, waiting(SECOND, "agreement-retries", "Throttled")], LEDGER, TOLD
    ),
    "an event in two places": lambda: audit(EVENTS, [*WAITING, WAITING[0]], LEDGER, TOLD),
    "a message of nobody's": lambda: audit(
        EVENTS, [*WAITING, replace(WAITING[0], correlation_id="unknown")], LEDGER, TOLD
    ),
    "a double that nothing tells of": lambda: audit(EVENTS, WAITING[1:], LEDGER, TOLD),
    "a double that was rejected": lambda: audit(
        EVENTS, [replace(WAITING[0], place="agreement-rejections"), WAITING[1]], LEDGER, TOLD
    ),
    "a double parked for another reason": lambda: audit(
        EVENTS, [replace(WAITING[0], reason="OtherRecorded"), WAITING[1]], LEDGER, TOLD
    ),
    "a refused event that is nowhere": lambda: audit(EVENTS, WAITING[:1], LEDGER, TOLD),
    "a refused event in the wrong place": lambda: audit(
        EVENTS, [WAITING[0], replace(WAITING[1], place="agreement-rejections/$DeadLetterQueue")], LEDGER, TOLD
    ),
    "a refused event told otherwise": lambda: audit(
        EVENTS, WAITING, LEDGER, TOLD | {REFUSED[:8]: ["Confirmed"]}
    ),
    "an own record told as a duplicate": lambda: audit(
        EVENTS, WAITING, LEDGER, TOLD | {FIRST[:8]: TOLD[DOUBLE[:8]]}
    ),
}


@pytest.mark.parametrize("wrong", [*WRONG.values(), *TOLD_WRONGLY.values()], ids=[*WRONG, *TOLD_WRONGLY])
def test_what_went_wrong_is_found(wrong: Wrong) -> None:
    """No false end passes the audit."""
    with pytest.raises(AssertionError):
        wrong()


def test_the_steps_of_each_event_are_found() -> None:
    """Every step of an event is told in its order; what is no step is passed over."""
    lines = [
        "functions_host ended (signal 9) and is started again\n",
        "10:20:30.456  event 0000002a                      Retry: Throttled (HTTP 429), again at 10:20:31\n",
        "10:20:31.789  event 0000002a                      Confirmed (7 ms in the API, attempt 2)\n",
        "10:20:32.012  event 0000002b                      Rejected: Refused (HTTP 400)\n",
    ]
    assert told(lines) == {
        "0000002a": [
            "Retry: Throttled (HTTP 429), again at 10:20:31",
            "Confirmed (7 ms in the API, attempt 2)",
        ],
        "0000002b": ["Rejected: Refused (HTTP 400)"],
    }
