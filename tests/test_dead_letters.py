import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agreements import deliveries
from agreements.dead_letters import (
    Action,
    Order,
    Plan,
    PlanError,
    Stamp,
    Summary,
    doubts,
    make,
    released,
    replayed,
)
from agreements.messages import ParkedMessage, Place, State, Value
from agreements.selection import Selection
from tests import fakes
from tests.fakes import CUSTOMER, NOW, parked

STAMP = Stamp(run="a-run", by="ada@ops", why="mended")
STAMPED = {
    "mcaReplayRun": "a-run",
    "mcaReplayedBy": "ada@ops",
    "mcaReplayWhy": "mended",
    "mcaReplayedFrom": "agreement-rejections/7/2026-03-02T09:30:00.000Z",
}
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


def texts(message: ParkedMessage) -> dict[str, str]:
    return {name: value.text for name, value in message.properties.items()}


def write(
    path: Path,
    messages: Iterable[ParkedMessage],
    order: Order = ORDER,
    limit: int | None = None,
    **filters: Any,
) -> tuple[Plan, Summary]:
    lines = list(make(messages, order, Selection(**filters), limit, NOW))
    path.write_text("".join(f"{line}\n" for line, _ in lines))
    return Plan(path), lines[-1][1]


def test_a_replayed_copy_starts_anew() -> None:
    """The publisher's properties and the event's id go on; ours start anew, with the replay counted."""
    message = parked(
        properties={"mcaReplay": 1, "mcaAttempt": 4, "traceparent": "t", "DeadLetterReason": "Refused"}
    )
    copy = replayed(message, STAMP)
    assert texts(copy) == {"source": "crm", "mcaReplay": "2", "mcaEventId": "event-7", **STAMPED}
    assert (copy.body, copy.content_type, copy.correlation_id) == (
        message.body,
        message.content_type,
        message.correlation_id,
    )


def test_a_repeated_replay_has_the_same_id() -> None:
    """A copy that is sent again after a crash names itself as before, and unlike the original."""
    message = parked()
    assert replayed(message, STAMP).message_id == replayed(message, STAMP).message_id
    assert replayed(message, STAMP).message_id not in {
        message.message_id,
        replayed(parked(8), STAMP).message_id,
    }


def test_a_copy_without_a_correlation_id_gets_that_of_the_log() -> None:
    """What a publisher sent without one is found in the log under the one that was derived for it."""
    message = parked(place=Place("agreement-acceptances", dead=True), correlation_id=None)
    delivered = fakes.message(correlation_id=None)
    logged = deliveries.receive(delivered, queue="agreement-acceptances", ours=False).correlation_id
    assert replayed(message, STAMP).correlation_id == str(logged)


def test_a_long_why_is_cut() -> None:
    """A property holds so much and no more."""
    copy = replayed(parked(), replace(STAMP, why="x" * 1000))
    assert len(texts(copy)["mcaReplayWhy"]) == 256


def test_a_released_copy_goes_on_as_it_was() -> None:
    """What a retry knows of its attempts stays, under an id of its own."""
    message = parked(properties={"mcaAttempt": 4, "Diagnostic-Id": "x"}, state=State.SCHEDULED)
    copy = released(message, STAMP)
    assert texts(copy) == {**texts(parked(properties={"mcaAttempt": 4})), **STAMPED}
    assert copy.message_id != message.message_id


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (parked(), []),
        (parked(properties={"mcaReason": "AlreadyRecorded"}), ["already recorded"]),
        (parked(properties={"mcaReason": "Superseded"}), ["superseded by a newer acceptance"]),
        (parked(body=b"?"), ["still no event: NotJson"]),
        (
            parked(body=fakes.body(dateAgreed="2026-03-09T00:00:00Z")),
            ["dateAgreed is in the future"],
        ),
    ],
    ids=["none", "recorded", "superseded", "unreadable", "future"],
)
def test_what_a_replay_cannot_help_is_doubted(message: ParkedMessage, expected: list[str]) -> None:
    """Whoever plans a replay is told where it changes nothing."""
    assert list(doubts(message, NOW)) == expected


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
    assert summary.doubts == {"still no event: NotJson": 1}
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
        "doubts": [],
    }
    assert lines[2] == {"place": "agreement-rejections", "sequenceNumber": 2, "skipped": "another reason"}


def test_a_release_chooses_what_is_scheduled(tmp_path: Path) -> None:
    """What is not scheduled needs no release; how often it was replayed says nothing."""
    messages = [parked(1, state=State.SCHEDULED, properties={"mcaReplay": 9}), parked(2)]
    plan, summary = write(tmp_path / "p", messages, order=RELEASE)
    assert (plan.count, summary.skipped, summary.doubts) == (1, {"not scheduled": 1}, {})


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


def test_a_replayed_event_keeps_its_name_in_the_app() -> None:
    """The app goes on calling a replayed event by the publisher's id, and carries on what was stamped."""
    copy = replayed(parked(), STAMP)
    delivery = deliveries.receive(
        fakes.message(message_id=copy.message_id, application_properties=copy.plain_properties),
        queue="agreement-acceptances",
        ours=False,
    )
    assert (delivery.event_id, delivery.replay, delivery.attempt) == ("event-7", 1, 1)
    assert delivery.may_be_recorded
    assert delivery.properties == {"source": "crm", **STAMPED}
    assert delivery.copy_properties({})["mcaReplayRun"] == "a-run"


def test_the_replay_count_stays_a_number_that_can_be_sent() -> None:
    """However absurd a count a publisher wrote, the copy's fits the wire."""
    message = parked(properties={})
    absurd = replace(message, properties={"mcaReplay": Value.number(2**31 - 1)})
    assert replayed(absurd, STAMP).replay == 2**31 - 1
