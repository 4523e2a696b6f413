"""The audit itself: each way in which an event can go wrong is found."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from local.bus import Waiting
from tests.chaos.audit import Published, audit, told

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


type Wrong = Callable[[], object]

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


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
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
