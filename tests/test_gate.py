import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest

from agreements.deadline import Deadline
from agreements.errors import GateClosedError, Reason
from agreements.gate import Gate
from tests.fakes import FakeClock

AMPLE = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The clock of gate and deadlines alike."""
    clock = FakeClock()
    monkeypatch.setattr("agreements.deadline.monotonic", clock)
    return clock


@pytest.fixture
def gate(clock: FakeClock) -> Gate:
    return Gate(clock, clock.wait)


def refused(gate: Gate, left: float = AMPLE) -> float:
    """Return the seconds that are named to a delivery which the gate refuses."""
    with pytest.raises(GateClosedError) as caught:
        gate.pass_through(Deadline.after(left))
    return caught.value.retry_after


def test_a_new_gate_is_open(gate: Gate, clock: FakeClock) -> None:
    """Nothing waits before the service has asked for it, not even with no time left."""
    gate.pass_through(Deadline.after(0))
    assert clock.slept == []


@pytest.mark.parametrize(
    ("seconds", "left"), [(5, AMPLE), (5, 5), (60, AMPLE)], ids=["ample", "just-in-time", "a-minute"]
)
def test_a_delivery_waits_until_the_gate_is_open(
    gate: Gate, clock: FakeClock, seconds: float, left: float
) -> None:
    """Who has the time is let through when the gate opens, not before."""
    gate.close(seconds)
    gate.pass_through(Deadline.after(left))
    assert clock.slept == [seconds]


@pytest.mark.parametrize(
    ("seconds", "left", "waited"),
    [(90, AMPLE, 60), (90, 60, 60), (5, 4, 4), (5, 0, 0)],
    ids=["over-a-minute", "a-minute-left", "beyond-the-deadline", "no-time-left"],
)
def test_how_long_a_delivery_may_wait(
    gate: Gate, clock: FakeClock, seconds: float, left: float, waited: float
) -> None:
    """A delivery waits a minute at most and never beyond its deadline; then it is told how long is left.

    It waits first: refused at once, a backlog would become a storm of scheduled copies.
    """
    gate.close(seconds)
    assert refused(gate, left) == seconds - waited
    assert sum(clock.slept) == waited


@pytest.mark.parametrize(("seconds", "closed"), [(3599, 3599), (3601, 3600), (float("inf"), 3600)])
def test_it_is_closed_for_an_hour_at_most(gate: Gate, seconds: float, closed: float) -> None:
    """A service that asks for more is asked again after an hour all the same."""
    gate.close(seconds)
    assert refused(gate, left=0) == closed


@pytest.mark.parametrize("closings", [(90, 70), (70, 90)], ids=["shorter-later", "longer-later"])
def test_the_longest_closing_counts(gate: Gate, closings: tuple[float, ...]) -> None:
    """When several calls are throttled, the longest wait counts, in whatever order they come."""
    for seconds in closings:
        gate.close(seconds)
    assert refused(gate, left=0) == 90


def test_a_gate_opens_by_itself(gate: Gate, clock: FakeClock) -> None:
    """When the time has come, nobody needs to open it and nobody waits."""
    gate.close(90)
    clock.now += 90
    gate.pass_through(Deadline.after(AMPLE))
    assert clock.slept == []


def test_a_gate_that_closes_anew_meanwhile_is_waited_for(clock: FakeClock) -> None:
    """Who waits looks again, and goes on waiting, for a minute in all."""

    def wait(_: threading.Condition, seconds: float) -> None:
        clock.sleep(seconds)
        if len(clock.slept) == 1:
            reclosed.close(90)

    reclosed = Gate(clock, wait)
    reclosed.close(5)
    assert refused(reclosed) == 35
    assert clock.slept == [5, 55]


def passed(gate: Gate, clock: FakeClock) -> float:
    """Return the seconds that a delivery waited until it was let through."""
    came = clock.now
    gate.pass_through(Deadline.after(AMPLE))
    return clock.now - came


def refuse_many(gate: Gate, clock: FakeClock) -> None:
    """Close the gate by a rush of calls that were all refused, and once more by the next one."""
    passed(gate, clock)
    for _ in range(16):
        gate.close(5)
    clock.now += 5
    gate.close(5)


def test_after_many_refusals_all_pass_one_by_one(gate: Gate, clock: FakeClock) -> None:
    """A gate that opens lets one through at a time: all who waited would only be refused again."""
    refuse_many(gate, clock)
    assert [passed(gate, clock) for _ in range(4)] == pytest.approx([5, 1, 1, 1], rel=0.05)


def test_they_pass_quicker_with_each_answer(gate: Gate, clock: FakeClock) -> None:
    """While the service answers, the next one is let through sooner."""
    refuse_many(gate, clock)
    waits = []
    for _ in range(4):
        waits.append(passed(gate, clock))
        gate.answered()
    assert waits[1] == pytest.approx(1, rel=0.05)
    assert waits == sorted(waits, reverse=True)
    assert waits[3] < waits[2]


def test_refusals_of_one_rush_slow_down_once(gate: Gate, clock: FakeClock) -> None:
    """Sixteen calls that were on their way when the gate closed are one sign that they were too fast."""
    refuse_many(gate, clock)
    for _ in range(16):
        gate.close(5)
    assert [passed(gate, clock) for _ in range(3)] == pytest.approx([5, 1, 1], rel=0.05)


def test_a_turn_that_comes_too_late_is_not_waited_for(gate: Gate, clock: FakeClock) -> None:
    """Who has no time for its turn is told how long it would have been, as at a closed gate."""
    refuse_many(gate, clock)
    passed(gate, clock)
    assert 0.7 < refused(gate, left=0.25) < 0.75


def test_it_waits_for_real_unless_told_otherwise() -> None:
    """Without a clock of a test's, the time that passes is the machine's."""
    gate = Gate()
    closed = monotonic()
    gate.close(0.001)
    gate.pass_through(Deadline.after(AMPLE))
    assert monotonic() - closed > 0.001


# --- closed because the app is refused

DEAD = Reason.REFRESH_TOKEN_EXPIRED


def elsewhere[T](do: Callable[[], T]) -> T:
    """Do something in another thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(do).result(10)


def test_a_refused_app_closes_the_gate_with_its_reason(gate: Gate) -> None:
    """A delivery that meets the closed gate is told why it is closed, and until when."""
    gate.refused(DEAD)
    with pytest.raises(GateClosedError) as caught:
        gate.pass_through(Deadline.after(0))
    assert (caught.value.reason, caught.value.retry_after) == (DEAD, 10)


def test_one_delivery_at_a_time_tries_again(gate: Gate, clock: FakeClock) -> None:
    """When the time has come one is let through; all others find the gate closed until it tells."""
    gate.refused(DEAD)
    gate.pass_through(Deadline.after(AMPLE))
    assert clock.slept == [10]
    gate.pass_through(Deadline.after(0))
    assert elsewhere(lambda: refused(gate, 0)) == 60


def test_whoever_tried_in_vain_closes_it_for_longer(gate: Gate, clock: FakeClock) -> None:
    """Each time in vain it is closed for twice as long, for a minute at most."""
    gate.refused(Reason.MFA_MISSING)
    for _ in range(4):
        gate.pass_through(Deadline.after(AMPLE))
        gate.refused(DEAD)
    assert clock.slept == [10, 20, 40, 60]
    with pytest.raises(GateClosedError) as caught:
        gate.pass_through(Deadline.after(0))
    assert (caught.value.reason, caught.value.retry_after) == (DEAD, 60)


def test_those_already_on_their_way_know_nothing_new(gate: Gate, clock: FakeClock) -> None:
    """What was asked before the gate closed neither closes it for longer nor opens it."""
    gate.refused(DEAD)
    gate.refused(DEAD)
    gate.accepted()
    assert refused(gate, 0) == 10
    clock.now += 10
    gate.pass_through(Deadline.after(0))
    elsewhere(lambda: gate.refused(DEAD))
    elsewhere(gate.accepted)
    assert elsewhere(lambda: refused(gate, 0)) == 60


def test_whoever_was_accepted_opens_it_for_all(gate: Gate, clock: FakeClock) -> None:
    """Once one got through the gate is as good as new: open, and the next break starts small."""
    gate.refused(DEAD)
    gate.pass_through(Deadline.after(AMPLE))
    gate.accepted()
    elsewhere(lambda: gate.pass_through(Deadline.after(0)))
    gate.refused(DEAD)
    assert elsewhere(lambda: refused(gate, 0)) == 10


def test_those_who_wait_go_on_as_soon_as_it_opens() -> None:
    """Nobody sleeps on after the gate was opened."""
    clock, waiting, go_on = FakeClock(), threading.Event(), threading.Event()

    def wait(condition: threading.Condition, _: float) -> None:
        waiting.set()
        condition.wait(10)
        go_on.set()

    gate = Gate(clock, wait)
    gate.refused(DEAD)
    clock.now += 10
    gate.pass_through(Deadline.after(AMPLE))
    with ThreadPoolExecutor(1) as pool:
        waiter = pool.submit(gate.pass_through, Deadline.after(AMPLE))
        assert waiting.wait(10)
        gate.accepted()
        waiter.result(5)
    assert go_on.is_set()


def test_those_who_wait_try_as_soon_as_they_may() -> None:
    """When one has tried in vain, the next tries after the new break, and not only when the first gave up."""
    clock, waits, waiting = FakeClock(), list[float](), threading.Event()

    def wait(condition: threading.Condition, seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            waiting.set()
            condition.wait(10)
        else:
            clock.sleep(seconds)

    gate = Gate(clock, wait)
    gate.refused(DEAD)
    clock.now += 10
    gate.pass_through(Deadline.after(AMPLE))
    with ThreadPoolExecutor(1) as pool:
        waiter = pool.submit(gate.pass_through, Deadline.after(AMPLE))
        assert waiting.wait(5)
        gate.refused(DEAD)
        waiter.result(5)
    assert waits == [60, 20]


def test_one_that_never_tells_is_followed_by_another(gate: Gate, clock: FakeClock) -> None:
    """A delivery that was let through and ended without a word does not keep the gate closed for ever."""
    gate.refused(DEAD)
    gate.pass_through(Deadline.after(AMPLE))
    elsewhere(lambda: gate.pass_through(Deadline.after(AMPLE)))
    assert clock.slept == [10, 60]


def test_a_throttled_service_is_left_alone_by_those_who_try_again(gate: Gate, clock: FakeClock) -> None:
    """Nobody tries while the service wants to be left alone, not even who was let through already."""
    gate.refused(DEAD)
    gate.close(30)
    gate.pass_through(Deadline.after(AMPLE))
    assert sum(clock.slept) == 30
    gate.close(5)
    gate.pass_through(Deadline.after(AMPLE))
    assert sum(clock.slept) == 35
