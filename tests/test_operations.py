import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agreements import audit, operations
from agreements.dead_letters import Action, Plan, PlanError
from agreements.endings import Endings
from agreements.messages import ParkedMessage, Place, State
from agreements.operations import Operations, Result
from agreements.pacing import Pace
from agreements.places import Names
from agreements.restores import Restored
from agreements.selection import Selection
from tests import fakes
from tests.fakes import NOW, REJECTIONS, FakeStore, parked
from tests.test_doubts import NEWER

NAMES = Names(
    acceptances="agreement-acceptances",
    retries="agreement-retries",
    duplicates="agreement-duplicates",
    rejections="agreement-rejections",
)
RETRIES = Place("agreement-retries")


def built(store: FakeStore) -> Operations:
    return Operations(
        store=store,
        names=NAMES,
        now=lambda: NOW,
        pause=store.clock.sleep,
        signed_in=lambda: "user o-i-d",
    )


def planned(at: Operations, path: Path, action: Action = Action.REPLAY) -> Plan:
    at.plan(path, action, at.messages([REJECTIONS, RETRIES]), Selection(), told="{}")
    return Plan(path)


def applied(at: Operations, plan: Plan, folder: Path, pace: Pace | None = None) -> Result:
    return at.apply(
        plan,
        why="mended",
        pace=pace or Pace(),
        audit_file=folder / "deep" / "audit.jsonl",
        told=lambda _: None,
        stopping=lambda: False,
    )


def audited(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "deep" / "audit.jsonl").read_text().splitlines()]


def test_places_are_looked_at_one_after_the_other() -> None:
    """All are opened first: one that cannot be reached is known before the first message is shown."""
    store = FakeStore(parked(1), parked(2, place=RETRIES))
    found = built(store).messages([RETRIES, REJECTIONS])
    assert store.opened == [RETRIES, REJECTIONS]
    assert [message.sequence_number for message in found] == [2, 1]


def test_a_plan_is_applied_and_audited(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Who, when, what, why, which plan and how many: in the file and in the log, and no event's value."""
    store = FakeStore(parked(1), parked(2))
    at = built(store)
    plan = planned(at, tmp_path / "plan")
    assert at.progress(plan) == operations.Progress(begun=False, remaining=2)
    assert applied(at, plan, tmp_path) == Result(done=2, left=Counter(), remaining=0, stopped=None)
    assert at.progress(plan) == operations.Progress(begun=True, remaining=0)
    [begun, ended] = audited(tmp_path)
    entry = {
        "at": NOW.isoformat(timespec="seconds"),
        "who": audit.operator(),
        "signedInAs": "user o-i-d",
        "namespace": "here.example",
        "action": "replay",
        "why": "mended",
        "run": plan.order.run,
        "planHash": plan.hash.hexdigest(),
        "chosen": 2,
    }
    assert begun == {"state": "begun", **entry}
    entry |= {"state": "ended", "done": 2, "left": {}, "remaining": 0, "stopped": None}
    assert ended == entry
    assert json.loads(caplog.messages[-1]) == {"audit": entry}
    assert plan.order.marks["agreement-rejections"] == 2
    assert (tmp_path / "plan").stat().st_mode & 0o777 == 0o600


def test_a_run_that_stops_tells_why(tmp_path: Path) -> None:
    """What stopped it is in the result and in the audit record."""
    store = FakeStore(parked(1), parked(2))
    at = built(store)
    plan = planned(at, tmp_path / "plan")
    again = parked(3, properties={"mcaReplayRun": plan.order.run, "mcaReplayedFrom": "x"})
    send = store.send

    def come_back(queue: str, messages: Sequence[ParkedMessage]) -> list[int]:
        store.lying[REJECTIONS].append(again)
        return send(queue, messages)

    store.send = come_back  # type: ignore[method-assign]  # what was sent comes back at once
    result = applied(at, plan, tmp_path, Pace(canary=1))
    assert (result.done, result.remaining, result.stopped) == (1, 1, "the canary was parked again: 1 Refused")
    assert audited(tmp_path)[-1]["stopped"] == result.stopped


def test_a_run_that_fails_is_audited_too(tmp_path: Path) -> None:
    """What was done before a failure was done."""
    store = FakeStore(parked(1))
    at = built(store)
    plan = planned(at, tmp_path / "plan")
    store.errors["send"] = [OSError("cut")]
    with pytest.raises(OSError, match="cut"):
        applied(at, plan, tmp_path)
    assert audited(tmp_path)[-1]["stopped"] == "it failed"


def test_a_run_that_is_killed_left_its_who_and_why(tmp_path: Path) -> None:
    """The first record is on disk before the first message is touched."""
    store = FakeStore(parked(1))
    at = built(store)
    plan = planned(at, tmp_path / "plan", Action.DISCARD)
    before: list[dict[str, object]] = []

    def stopping() -> bool:
        before.extend(audited(tmp_path))
        return False

    at.apply(
        plan,
        why="mended",
        pace=Pace(),
        audit_file=tmp_path / "deep" / "audit.jsonl",
        told=lambda _: None,
        stopping=stopping,
    )
    assert (before[0]["state"], before[0]["why"]) == ("begun", "mended")


def test_a_plan_is_for_one_namespace(tmp_path: Path) -> None:
    """Elsewhere its messages would be found gone, and noted as dealt with."""
    store = FakeStore(parked(1))
    plan = planned(built(store), tmp_path / "plan")
    store.namespace = "there.example"
    with pytest.raises(PlanError, match=r"a plan for here\.example, and this is there\.example"):
        built(store).progress(plan)
    with pytest.raises(PlanError, match=r"there\.example"):
        applied(built(store), plan, tmp_path)
    store.namespace = "here.example"
    assert applied(built(store), plan, tmp_path).done == 1


@pytest.mark.parametrize(
    ("action", "target"),
    [
        (Action.REPLAY, "agreement-acceptances"),
        (Action.RELEASE, "agreement-retries"),
        (Action.DISCARD, None),
    ],
)
def test_each_action_has_its_target(tmp_path: Path, action: Action, target: str | None) -> None:
    """Replays start anew, releases stay retries, what is discarded goes nowhere."""
    store = FakeStore(parked(1, place=RETRIES, state=State.SCHEDULED))
    assert planned(built(store), tmp_path / "plan", action).order.target == target


def test_a_plan_compares_with_all_that_waits(tmp_path: Path) -> None:
    """Also with what its filters do not choose, wherever it lies; what is to be mended is not doubted."""
    newer = parked(2, place=RETRIES, state=State.SCHEDULED, body=fakes.body(dateAgreed="2026-03-02"))
    at = built(FakeStore(parked(1, properties={"mcaReason": "NoRelationship"}), newer))
    summary = at.plan(tmp_path / "plan", Action.REPLAY, at.messages([REJECTIONS]), Selection(), told="{}")
    assert summary.doubts == {NEWER: 1}
    summary = at.plan(
        tmp_path / "plan", Action.REPLAY, at.messages([REJECTIONS]), Selection(), told="{}", doubted=False
    )
    assert (summary.chosen.total(), summary.doubts) == (1, {})


def test_following_ends_when_nothing_is_under_way(tmp_path: Path) -> None:
    """It looks again until every copy has come to an end."""
    at = built(FakeStore(parked(1)))
    order = planned(at, tmp_path / "plan").order
    copy = parked(1, place=RETRIES, properties={"mcaReplayRun": order.run, "mcaReplayedFrom": "x"})
    store = FakeStore(copy)
    told: list[int] = []

    def tell(endings: Endings) -> None:
        told.append(endings.under_way)
        if len(told) == 2:
            store.remove(RETRIES, 1)

    endings = built(store).follow(order, tell, lambda: False)
    assert (told, endings.under_way) == ([1, 1, 0], 0)
    assert built(FakeStore(copy)).follow(order, told.append, lambda: True).under_way == 1  # type: ignore[arg-type]  # only kept


def test_restoring_counts_what_does_not_fit(tmp_path: Path) -> None:
    """Events whose messages are gone are sent again, and those too large are counted."""
    store = FakeStore()
    store.too_large = {2}
    restored = [parked(number) for number in range(1, 150)]
    assert restore(store, restored, tmp_path) == Restored(chosen=149, refused=1)
    assert len(store.sent) == 148
    [begun, ended] = audited(tmp_path)
    assert (begun["state"], begun["action"], begun["chosen"]) == ("begun", "restore", 149)
    assert (ended["state"], ended["done"], ended["left"]) == ("ended", 148, 1)


def restore(store: FakeStore, messages: list[ParkedMessage], folder: Path) -> Restored:
    audit_file = folder / "deep" / "audit.jsonl"
    return built(store).restore(
        messages, messages, file=folder / "journal", digest="d", why="undone", audit_file=audit_file
    )


def test_a_restore_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    """What was sent is not sent again, neither after a failure nor when the same is given once more."""
    store = FakeStore()
    store.errors["send"] = [None, OSError("cut")]
    restored = [parked(number) for number in range(1, 251)]
    with pytest.raises(OSError, match="cut"):
        restore(store, restored, tmp_path)
    assert audited(tmp_path)[-1]["done"] == 100
    assert restore(store, restored, tmp_path) == Restored(chosen=150, refused=0)
    assert restore(store, restored, tmp_path) == Restored(chosen=0, refused=0)
    assert sorted(message.sequence_number for _, message in store.sent) == list(range(1, 251))


def test_a_mended_message_is_sent(tmp_path: Path) -> None:
    """What changes a message on its way reaches the run."""
    store = FakeStore(parked(1))
    at = built(store)
    at.apply(
        planned(at, tmp_path / "plan"),
        why="mended",
        pace=Pace(),
        audit_file=tmp_path / "audit",
        told=lambda _: None,
        stopping=lambda: False,
        mend=lambda message: replace(message, body=b"mended"),
    )
    assert [message.body for _, message in store.sent] == [b"mended"]
