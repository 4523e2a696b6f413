from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agreements.dead_letters import Action
from agreements.endings import Endings
from agreements.journal import Journal, Step
from agreements.messages import ParkedMessage, Place, State
from agreements.pacing import Pace, Pacer, StoppedError
from agreements.replays import Run
from tests.fakes import REJECTIONS, FakeStore, Taken, parked
from tests.test_copies import STAMP
from tests.test_dead_letters import ORDER, RELEASE, write

RETRIES = Place("agreement-retries")
NONE = Endings(0, Counter())


class CrashError(Exception):
    """The process is killed."""


def numbers(store: FakeStore) -> list[int]:
    return [message.sequence_number for _, message in store.sent]


def lying(store: FakeStore, place: Place = REJECTIONS) -> list[int]:
    return [message.sequence_number for message in store.peek(place)]


class Stage:
    """A plan, the store that it is for, and as many runs of it as it takes."""

    def __init__(self, path: Path, store: FakeStore, **filters: Any) -> None:
        self.path, self.store = path, store
        order = filters.pop("order", ORDER)
        messages = [message for place in store.lying for message in store.peek(place)]
        self.plan, _ = write(path / "plan", messages, order=order, **filters)
        self.told: list[int] = []
        self.endings = [Endings(0, Counter())]
        self.left: Counter[str] = Counter()

    def watch(self) -> Endings:
        return self.endings.pop(0) if len(self.endings) > 1 else self.endings[0]

    def run(
        self,
        pace: Pace | None = None,
        stopping: Callable[[], bool] = lambda: False,
        mend: Callable[[ParkedMessage], ParkedMessage] = lambda message: message,
    ) -> "Stage":
        with self.journal() as journal:
            run: Run[Taken] = Run(
                plan=self.plan,
                journal=journal,
                store=self.store,
                stamp=STAMP,
                pacer=Pacer(
                    pace=pace or Pace(),
                    watch=self.watch,
                    pause=self.store.clock.sleep,
                    told=self.told.append,
                    stopping=stopping,
                    clock=self.store.clock,
                ),
                mend=mend,
                clock=self.store.clock,
                left=self.left,
            )
            run()
        return self

    def journal(self) -> Journal:
        return Journal(self.path / "journal", self.plan.hash.hexdigest(), self.plan.numbers)

    def count(self, step: Step) -> int:
        with self.journal() as journal:
            return journal.count(step)


def mixed(count: int = 250) -> FakeStore:
    """Return a store where every fifth message is refused, the others of unknown customers."""
    reasons = ["Refused" if number % 5 == 0 else "CustomerUnknown" for number in range(count)]
    return FakeStore(
        *(parked(number, properties={"mcaReason": reason}) for number, reason in enumerate(reasons, 1))
    )


REFUSED = {"reasons": frozenset({"refused"})}


def test_exactly_the_plan_is_applied(tmp_path: Path) -> None:
    """Each chosen message is copied to its target and removed, the others lie where they lay."""
    store = mixed()
    stage = Stage(tmp_path, store, **REFUSED).run()
    chosen = list(range(1, 251, 5))
    assert numbers(store) == chosen
    assert {queue for queue, _ in store.sent} == {"agreement-acceptances"}
    assert lying(store) == [number for number in range(1, 251) if number not in chosen]
    assert (stage.count(Step.DONE), sum(stage.told)) == (50, 50)
    # Those passed on the way are held aside, and none twice.
    [taking] = store.takings
    assert len(taking.held) == len(set(taking.held)) >= 196
    assert taking.kept


def test_what_came_later_is_not_touched(tmp_path: Path) -> None:
    """A message that arrived after the plan was made, or fails again meanwhile, waits for the next plan."""
    store = mixed(10)
    stage = Stage(tmp_path, store)
    store.lying[REJECTIONS].append(parked(11))
    stage.run()
    assert lying(store) == [11]


@pytest.mark.parametrize("operation", ["send", "complete"])
@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_crash_loses_nothing(tmp_path: Path, operation: str, after: int) -> None:
    """Wherever it is killed, the next run of the plan ends it: each copy is sent, each original removed."""
    store = mixed()
    store.page_size = 10
    stage = Stage(tmp_path, store, **REFUSED)

    store.errors[operation] = [*[None] * after, CrashError()]
    with pytest.raises(CrashError):
        stage.run()
    stage.run()
    assert set(numbers(store)) == set(range(1, 251, 5))
    copies = {message.sequence_number: message.message_id for _, message in store.sent}
    assert all(copies[message.sequence_number] == message.message_id for _, message in store.sent)
    assert len(lying(store)) == 200
    assert stage.count(Step.DONE) == 50


def test_what_was_sent_is_not_sent_again(tmp_path: Path) -> None:
    """After a crash between the copy and the removal only the removal is made up for."""
    store = mixed(10)
    stage = Stage(tmp_path, store)
    store.errors["complete"] = [CrashError()]
    with pytest.raises(CrashError):
        stage.run()
    assert stage.count(Step.SENT) == 10
    stage.run()
    assert numbers(store) == list(range(1, 11))
    assert lying(store) == []


def test_a_removal_that_was_not_noted_is_seen(tmp_path: Path) -> None:
    """Killed between removing and noting it, a message that is gone and was sent is done."""
    store = mixed(3)
    stage = Stage(tmp_path, store)
    store.errors["complete"] = [CrashError()]
    with pytest.raises(CrashError):
        stage.run()
    store.remove(REJECTIONS, 2)
    stage.run()
    assert (stage.count(Step.DONE), stage.left, numbers(store)) == (3, {}, [1, 2, 3])


def test_a_lost_lock_is_made_up_for(tmp_path: Path) -> None:
    """A message whose lock was lost before it was removed comes again, and is only removed then."""
    store = mixed(3)
    store.lost = {2}
    stage = Stage(tmp_path, store).run()
    assert (numbers(store), lying(store), stage.count(Step.DONE)) == ([1, 2, 3], [], 3)


def test_what_somebody_else_removed_is_told(tmp_path: Path) -> None:
    """A chosen message that is gone without a copy of ours is left, and said to be."""
    store = mixed(3)
    stage = Stage(tmp_path, store)
    store.remove(REJECTIONS, 2)
    stage.run()
    assert (stage.left, numbers(store)) == ({"gone": 1}, [1, 3])


def test_what_another_receiver_holds_is_waited_for(tmp_path: Path) -> None:
    """A run that was killed holds locks for a while; the next one waits for them to expire."""
    store = mixed(3)
    stage = Stage(tmp_path, store)
    store.elsewhere, store.patient = {2}, True
    stage.run()
    assert (numbers(store), stage.left) == ([1, 3, 2], {})


def test_what_another_receiver_never_gives_back_is_left(tmp_path: Path) -> None:
    """Beyond the duration of a lock it is left to the next run of the plan."""
    store = mixed(3)
    stage = Stage(tmp_path, store)
    store.elsewhere = {2}
    stage.run()
    assert (numbers(store), stage.left) == ([1, 3], {"locked by another receiver": 1})
    assert store.clock.now > 160
    store.elsewhere.clear()
    stage.run()
    assert (numbers(store), lying(store)) == ([1, 3, 2], [])


def test_a_changed_message_is_refused(tmp_path: Path) -> None:
    """Another message under the number of a chosen one is not replayed in its place."""
    store = mixed(3)
    stage = Stage(tmp_path, store)
    store.lying[REJECTIONS][1] = replace(store.lying[REJECTIONS][1], body=b"other")
    stage.run()
    assert (stage.left, numbers(store), lying(store)) == ({"changed since the plan was made": 1}, [1, 3], [2])


def test_a_message_too_large_for_its_copy_stays(tmp_path: Path) -> None:
    """The copy carries more than the original; where that does not fit, the original is kept."""
    store = mixed(3)
    store.too_large = {2}
    stage = Stage(tmp_path, store).run()
    assert (stage.left, numbers(store), lying(store)) == ({"too large for a copy": 1}, [1, 3], [2])


def test_discarding_sends_nothing(tmp_path: Path) -> None:
    """What is discarded is removed, and that is all."""
    store = mixed(3)
    stage = Stage(tmp_path, store, order=replace(ORDER, action=Action.DISCARD, target=None)).run()
    assert (store.sent, lying(store), stage.count(Step.DONE)) == ([], [], 3)


def test_a_mended_body_is_sent_in_place_of_the_original(tmp_path: Path) -> None:
    """The message as it lies decides whether it is the right one; what is sent is the mended one."""
    store = mixed(1)
    Stage(tmp_path, store).run(mend=lambda message: replace(message, body=b"mended"))
    assert [message.body for _, message in store.sent] == [b"mended"]


def test_a_run_stops_when_asked(tmp_path: Path) -> None:
    """After the batch in hand it ends, and the next run goes on."""
    store = mixed(250)
    store.page_size = 10
    stage = Stage(tmp_path, store)
    with pytest.raises(StoppedError, match="asked to"):
        stage.run(stopping=lambda: len(stage.told) == 2)
    assert len(store.sent) == 20
    assert lying(store) == list(range(21, 251))
    stage.run()
    assert numbers(store) == list(range(1, 251))


def test_a_rate_is_kept(tmp_path: Path) -> None:
    """No more than so many a second are sent, and locks are kept meanwhile."""
    store = mixed(50)
    before = store.clock.now
    Stage(tmp_path, store).run(Pace(rate=10))
    assert 4 <= store.clock.now - before < 5.1
    assert store.takings[0].kept > 4


def test_a_slow_rate_can_be_stopped(tmp_path: Path) -> None:
    """Who asks a slow run to stop does not wait for its next message."""
    store = mixed(3)
    stage = Stage(tmp_path, store)
    with pytest.raises(StoppedError):
        stage.run(Pace(rate=0.01), stopping=lambda: store.clock.now > 110)
    assert store.clock.now < 120
    assert numbers(store) == [1]


def test_a_canary_goes_first(tmp_path: Path) -> None:
    """The others follow once the first have come to their ending."""
    store = mixed(10)
    stage = Stage(tmp_path, store)
    stage.endings = [NONE, Endings(2, Counter()), NONE]
    stage.run(Pace(canary=2))
    assert stage.told == [2, 8]
    assert store.clock.slept == [1.0]


def test_a_canary_that_comes_back_stops_all(tmp_path: Path) -> None:
    """Nothing more is sent when the first are parked again."""
    store = mixed(10)
    stage = Stage(tmp_path, store)
    stage.endings = [NONE, Endings(0, Counter({"Refused": 2}))]
    with pytest.raises(StoppedError, match="the canary was parked again: 2 Refused"):
        stage.run(Pace(canary=2))
    assert len(store.sent) == 2


def test_an_earlier_runs_failures_stop_no_later_run(tmp_path: Path) -> None:
    """Once the cause is mended the same plan goes on, although what came back before still lies there."""
    store = mixed(10)
    stage = Stage(tmp_path, store)
    stage.endings = [Endings(0, Counter(Refused=2))]
    stage.run(Pace(canary=2, stop_after_failures=1))
    assert stage.told == [2, 8]


def test_waiting_for_a_canary_can_be_stopped(tmp_path: Path) -> None:
    """A canary that waits in the retries for hours does not hold the person."""
    store = mixed(10)
    stage = Stage(tmp_path, store)
    stage.endings = [Endings(1, Counter())]
    with pytest.raises(StoppedError, match="asked to"):
        stage.run(Pace(canary=1), stopping=lambda: store.clock.now > 105)


def test_a_run_stops_after_so_many_failures(tmp_path: Path) -> None:
    """Once that many copies came back, the rest waits."""
    store = mixed(250)
    store.page_size = 10
    stage = Stage(tmp_path, store)
    stage.endings = [NONE, Endings(0, Counter(Refused=1)), Endings(0, Counter(Refused=2, Superseded=1))]
    with pytest.raises(StoppedError, match="3 were parked again: 2 Refused, 1 Superseded"):
        stage.run(Pace(stop_after_failures=3, rate=5))
    # It looks every two seconds, not after each batch.
    assert len(store.sent) == 15


def scheduled(*given: int) -> FakeStore:
    return FakeStore(*(parked(number, place=RETRIES, state=State.SCHEDULED) for number in given))


def test_releasing_sends_now_and_cancels(tmp_path: Path) -> None:
    """A scheduled retry gets a copy for now before it is cancelled."""
    store = scheduled(*range(1, 151))
    stage = Stage(tmp_path, store, order=replace(RELEASE, target="agreement-retries")).run()
    assert numbers(store) == store.cancelled == list(range(1, 151))
    assert {queue for queue, _ in store.sent} == {"agreement-retries"}
    assert (stage.count(Step.DONE), stage.told) == (150, [100, 50])


def test_a_cancelling_that_was_not_noted_is_seen(tmp_path: Path) -> None:
    """Killed between cancelling and noting it, a retry that was sent for now is done, and not sent again."""
    store = scheduled(1, 2, 3)
    stage = Stage(tmp_path, store, order=RELEASE)
    store.errors["cancel"] = [None, None, CrashError()]
    with pytest.raises(CrashError):
        stage.run()
    assert (store.cancelled, stage.count(Step.SENT)) == ([1, 2], 3)
    stage.run()
    assert (stage.count(Step.DONE), stage.left, numbers(store)) == (3, {}, [1, 2, 3])
    assert store.cancelled == [1, 2, 3]


def test_what_came_due_meanwhile_is_left(tmp_path: Path) -> None:
    """A retry that is not scheduled any more is on its way by itself."""
    store = scheduled(1, 2, 3)
    stage = Stage(tmp_path, store, order=RELEASE)
    store.remove(RETRIES, 1)
    store.lying[RETRIES][0] = replace(store.lying[RETRIES][0], state=State.ACTIVE)
    stage.run()
    assert (stage.left, numbers(store)) == ({"no longer scheduled": 2}, [3])


def test_a_release_goes_on_after_a_crash(tmp_path: Path) -> None:
    """What was sent is only cancelled; what was not is sent."""
    store = scheduled(1, 2, 3)
    stage = Stage(tmp_path, store, order=RELEASE)
    store.errors["send"] = [CrashError()]
    with pytest.raises(CrashError):
        stage.run()
    stage.run(Pace(rate=1))
    assert numbers(store) == [1, 2, 3]
    assert lying(store, RETRIES) == []


def test_a_plan_that_is_done_touches_nothing(tmp_path: Path) -> None:
    """Applied again, it takes nothing from its places."""
    store = mixed(3)
    stage = Stage(tmp_path, store).run()
    stage.run()
    assert (len(store.takings), len(store.sent)) == (1, 3)
