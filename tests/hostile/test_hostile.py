"""A sample of what ``make hostile`` does at length."""

import os

import pytest

from agreements.errors import EventError, Reason
from tests.hostile.bodies import MARKERS, Case, make
from tests.hostile.carriers import CARRIERS, Carried
from tests.hostile.check import SAYINGS, Verdict, check, tally

CASES = int(os.environ.get("HOSTILE_CASES", "20000"))
SEED = int(os.environ.get("HOSTILE_SEED", "1"))


def test_any_body_is_an_event_or_our_error() -> None:
    """Whatever arrives is read or refused by a reason, in under 0.1 s, and no value shows."""
    found = tally(SEED, range(CASES))
    assert found.faulty == []
    assert found.cases == CASES


def test_the_sample_reaches_every_reason() -> None:
    """The cases are of all kinds: some are good events, the others are refused for every reason there is."""
    outcomes = tally(SEED, range(1500)).outcomes
    refused_before_asking = {
        str(reason)
        for reason in Reason
        if reason.actor == "publisher" and reason is not Reason.DATE_IN_FUTURE
    }
    assert set(outcomes) == refused_before_asking | {"AcceptanceEvent"}


def test_a_case_can_be_made_again() -> None:
    """Seed and number are all that a case is made of, so that a report of one leads back to it."""
    assert make(3, 77) == make(3, 77)
    assert make(3, 77) != make(4, 77)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_every_carrier_is_used(carrier: str) -> None:
    """No way to carry an event is left out of the sample."""
    assert any(make(SEED, number).kind.endswith(carrier) for number in range(500))


def test_no_saying_holds_a_marker() -> None:
    """The markers are told apart from everything that an error may say."""
    assert not [saying for saying in SAYINGS for marker in MARKERS if marker in saying]


def _unwrapped(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> Verdict:
    def unwrap(*_: object) -> None:
        raise error

    monkeypatch.setattr("tests.hostile.check.envelopes.unwrap", unwrap)
    return check(0, Case("a kind", Carried(b"{}")))


def _with_context(error: BaseException, context: BaseException) -> BaseException:
    error.__context__ = context
    return error


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (RuntimeError("bug"), "raised"),
        (RecursionError(), "raised"),
        (EventError(Reason.FIELD_INVALID, "planted"), "says what is on no list"),
        (EventError(Reason.FIELD_INVALID, "email", "must be Planted"), "shows Planted"),
        (_with_context(EventError(Reason.NOT_JSON), ValueError("planted")), "has a cause or a context"),
    ],
    ids=["a bug", "recursion", "an unknown field", "a value", "a context"],
)
def test_the_check_can_fail(monkeypatch: pytest.MonkeyPatch, error: BaseException, fault: str) -> None:
    """Another error, an error that says a value, and one that carries a value along are all found out."""
    assert any(found.startswith(fault) for found in _unwrapped(monkeypatch, error).faults)


def test_a_slow_case_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes too long by the clock of its own thread is a fault."""
    ticks = iter(range(100))
    monkeypatch.setattr("tests.hostile.check.time.thread_time", lambda: next(ticks))
    assert check(0, Case("a kind", Carried(b"{}"))).faults == ("took 1.000 s of CPU",)
