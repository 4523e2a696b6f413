from dataclasses import dataclass, field
from typing import Any

import pytest

from agreements.doubts import doubts
from agreements.errors import Reason
from agreements.events import AcceptanceEvent
from agreements.messages import ParkedMessage
from tests import fakes
from tests.fakes import NOW, parked

MEND = "mend it, by parked export and import"
UNREADABLE = f"still no event, NotJson: {MEND}"
REFUSED = f"Partner Center refused its data: {MEND}"
FUTURE = f"dateAgreed is in the future: wait until it has come, or {MEND}"
SAME = "replayed before, and came back for the same reason: mend the cause first."
ANOTHER = "another event of its customer came back from a replay: mend the cause first."
NEWER = (
    "a newer acceptance of its customer waits in agreement-retries: have that one confirmed and discard this,"
    " or old data may become the newest record"
)


@dataclass
class FakeOthers:
    """Tells of what else waits as a test has it."""

    place: str | None = None
    returned: bool = False
    refusals: dict[Reason, int] = field(default_factory=dict)

    def newer(self, event: AcceptanceEvent) -> str | None:
        return self.place

    def came_back_since(self, message: ParkedMessage) -> bool:
        return self.returned


def of_reason(reason: str | None, **changes: Any) -> ParkedMessage:
    return parked(properties={"mcaReason": reason, **changes.pop("properties", {})}, **changes)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (of_reason("NoRelationship"), []),
        (of_reason("RetriesExhausted"), []),
        (of_reason("AlreadyRecorded"), ["already recorded: discard it"]),
        (of_reason("Superseded"), ["superseded by a newer acceptance: discard it"]),
        (of_reason("Refused"), [REFUSED]),
        (of_reason("FieldInvalid"), []),
        (of_reason("NotJson", body=b"?"), [UNREADABLE]),
        (of_reason("DateInFuture", body=fakes.body(dateAgreed="2026-03-09T00:00:00Z")), [FUTURE]),
    ],
    ids=lambda value: value.reason if isinstance(value, ParkedMessage) else "",
)
def test_what_a_replay_cannot_help_is_doubted(message: ParkedMessage, expected: list[str]) -> None:
    """Whoever plans a replay is told where it changes nothing, and what to do instead.

    An event that was invalid once and is valid now, for the app or the date, is not doubted.
    """
    assert list(doubts(message, NOW)) == expected


@pytest.mark.parametrize(
    ("properties", "doubted"),
    [
        ({"mcaReplay": 1, "mcaReplayedReason": "NoRelationship"}, True),
        ({"mcaReplay": 1, "mcaReplayedReason": "CustomerUnknown"}, False),
        ({"mcaReplay": 1}, False),
        ({"mcaReplayedReason": "NoRelationship"}, False),
    ],
    ids=["same", "another", "not-told", "no-replay"],
)
def test_a_replay_that_helped_nothing_is_doubted(properties: dict[str, object], doubted: bool) -> None:
    """What came back for the reason for which it was replayed will do so again."""
    [*told] = doubts(of_reason("NoRelationship", properties=properties), NOW)
    assert told == ([f"{SAME} {Reason.NO_RELATIONSHIP.advice}"] if doubted else [])


@pytest.mark.parametrize(("reason", "doubted"), [("NoRelationship", True), ("RetriesExhausted", False)])
def test_what_came_back_of_the_same_customer_is_doubted(reason: str, doubted: bool) -> None:
    """Where the cause lies with the customer, another event's vain replay tells of this one too."""
    [*told] = doubts(of_reason(reason), NOW, FakeOthers(returned=True))
    assert told == ([f"{ANOTHER} {Reason.NO_RELATIONSHIP.advice}"] if doubted else [])


def test_an_event_that_is_not_the_newest_is_doubted() -> None:
    """Beside a newer one that waits it could make old data the newest record."""
    assert list(doubts(of_reason("NoRelationship"), NOW, FakeOthers("agreement-retries"))) == [NEWER]


def test_a_replay_while_the_app_is_refused_is_doubted() -> None:
    """Then each event would only wait elsewhere."""
    others = FakeOthers(refusals={Reason.MFA_MISSING: 2})
    [told] = doubts(of_reason("NoRelationship"), NOW, others)
    assert told.startswith("the app itself is refused, MfaMissing, as retries tell: mend that first. Run")


def test_doubts_add_up() -> None:
    """Each is told by itself."""
    message = of_reason("Refused", body=fakes.body(dateAgreed="2026-03-09T00:00:00Z"))
    assert list(doubts(message, NOW, FakeOthers("agreement-retries"))) == [REFUSED, FUTURE, NEWER]
