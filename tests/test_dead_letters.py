import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agreements.dead_letters import Action, Order, Plan, PlanError, Summary, make
from agreements.doubts import doubts
from agreements.messages import ParkedMessage, Place, State
from agreements.selection import Selection
from tests.fakes import CUSTOMER, NOW, parked
from tests.test_doubts import REFUSED, UNREADABLE

ORDER = Order(
    run="a-run",
    namespace="here.example",
    action=Action.REPLAY,
    target="agreement-acceptances",
    selection="{}",
    made_at=NOW.isoformat(),
    max_replays=3,
    marks={"agreement-rejections": 9},
)
RELEASE = replace(ORDER, action=Action.RELEASE)


def write(
    path: Path,
    messages: Iterable[ParkedMessage],
    order: Order = ORDER,
    limit: int | None = None,
    **filters: Any,
) -> tuple[Plan, Summary]:
    summary = Summary()
    lines = list(make(messages, order, Selection(**filters), limit, lambda one: doubts(one, NOW), summary))
    path.write_text("".join(f"{line}\n" for line in lines))
    return Plan(path), summary


def test_a_plan_names_what_is_chosen_and_why_others_are_not(tmp_path: Path) -> None:
    """Each message that was looked at has its line, and the summary counts them."""
    messages = [
        parked(1),
        parked(2, properties={"mcaReason": "Superseded"}),
        parked(3, properties={"mcaReplay": 3}),
        parked(4, state=State.SCHEDULED),
        parked(5, state=State.DEFERRED),
        parked(6, body=b"?"),
        parked(7),
    ]
    plan, summary = write(tmp_path / "p", messages, limit=2, reasons=frozenset({"refused"}))
    assert plan.count == 2
    assert plan.order == ORDER
    assert summary.chosen == {"Refused": 2}
    assert summary.doubts == {UNREADABLE: 1, REFUSED: 1}
    assert summary.skipped == {
        "another reason": 1,
        "replayed 3 times already": 1,
        "on its way: a retry that is scheduled": 1,
        "deferred by another program": 1,
        "beyond the limit": 1,
    }
    lines = [json.loads(line) for line in (tmp_path / "p").read_text().splitlines()]
    assert lines[1] == {
        "place": "agreement-rejections",
        "sequenceNumber": 1,
        "fingerprint": parked(1).fingerprint,
        "enqueuedTime": NOW.isoformat(),
        "eventId": "event-1",
        "customerTenantId": str(CUSTOMER),
        "reason": "Refused",
        "errorCode": None,
        "replay": 0,
        "target": "agreement-acceptances",
        "doubts": [REFUSED],
    }
    assert lines[2] == {"place": "agreement-rejections", "sequenceNumber": 2, "skipped": "another reason"}


def test_a_release_chooses_what_is_scheduled(tmp_path: Path) -> None:
    """What is not scheduled needs no release; how often it was replayed says nothing."""
    messages = [parked(1, state=State.SCHEDULED, properties={"mcaReplay": 9}), parked(2)]
    plan, summary = write(tmp_path / "p", messages, order=RELEASE)
    assert (plan.count, summary.skipped) == (1, {"not scheduled": 1})


def test_a_plan_knows_its_messages(tmp_path: Path) -> None:
    """What was chosen is told from what was not, and from what came in its place."""
    plan, _ = write(tmp_path / "p", [parked(1), parked(5)])
    place = parked().place
    assert [plan.index(place, number) for number in (1, 2, 5, 6)] == [0, None, 1, None]
    assert plan.names(parked(5))
    assert not plan.names(parked(2))
    assert not plan.names(parked(5, place=Place("elsewhere")))
    assert plan.fits(parked(5), 1)
    assert not plan.fits(parked(5, body=b"x"), 1)


def test_a_plan_of_a_partitioned_queue_is_sorted(tmp_path: Path) -> None:
    """Numbers with a partition in their highest bits do not come in order, and are found all the same."""
    plan, _ = write(tmp_path / "p", [parked(2**49 + 1), parked(3)])
    assert plan.index(parked().place, 3) == 0
    assert plan.fits(parked(2**49 + 1), 1)


def test_a_message_that_is_named_twice_counts_once(tmp_path: Path) -> None:
    """Applying would wait for the second until it gave up, and call it locked."""
    plan, _ = write(tmp_path / "p", [parked(3), parked(2), parked(3)])
    assert (plan.count, plan.index(parked().place, 3)) == (2, 1)


@pytest.mark.parametrize(
    "content",
    ["", "{}\n", '{"plan": 2}\n', "[]\n", '{"plan": 1, "action": "burn", "run": "r"}\n', "half"],
)
def test_what_is_no_plan_is_refused(tmp_path: Path, content: str) -> None:
    """Only a whole plan of this version is applied."""
    (tmp_path / "p").write_text(content)
    with pytest.raises(PlanError, match="not a plan"):
        Plan(tmp_path / "p")


def test_a_torn_plan_is_refused(tmp_path: Path) -> None:
    """A plan that was not written to its end would leave out messages."""
    write(tmp_path / "p", [parked(1), parked(2)])
    torn = (tmp_path / "p").read_bytes()[:-20]
    (tmp_path / "p").write_bytes(torn)
    with pytest.raises(PlanError):
        Plan(tmp_path / "p")


def test_another_plan_has_another_hash(tmp_path: Path) -> None:
    """A journal belongs to the plan as it was written."""
    one, _ = write(tmp_path / "one", [parked(1)])
    other, _ = write(tmp_path / "other", [parked(2)])
    assert one.hash.hexdigest() != other.hash.hexdigest()
