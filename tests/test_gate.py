import threading
from collections.abc import Callable
from itertools import chain, repeat

import pytest

from agreements.deadline import Deadline
from agreements.errors import GateClosedError
from agreements.gate import Gate

AMPLE = 1000.0


def clock(*readings: float) -> Callable[[], float]:
    """Return a clock that shows these readings in turn, the last one from then on."""
    return chain(readings, repeat(readings[-1])).__next__


def test_a_new_gate_is_open() -> None:
    """Nothing waits before the service has asked for it, not even with no time left."""
    Gate(clock(100)).pass_through(Deadline.after(0))


def test_a_closed_gate_says_how_long() -> None:
    """Closed for longer than a delivery may wait, it refuses at once, with the seconds until it opens."""
    gate = Gate(clock(100))
    gate.close(90)
    with pytest.raises(GateClosedError) as caught:
        gate.pass_through(Deadline.after(AMPLE))
    assert caught.value.retry_after == 90


@pytest.mark.parametrize(
    ("seconds", "left", "waits"),
    [(60.5, AMPLE, False), (5.0, 4.0, False), (0.01, AMPLE, True), (0.01, 1.0, True)],
    ids=["over-a-minute", "beyond-the-deadline", "ample", "within-the-deadline"],
)
def test_how_long_a_delivery_may_wait(seconds: float, left: float, waits: bool) -> None:
    """A delivery waits for a minute at most and never beyond its deadline; else it is told to come back."""
    gate = Gate()
    gate.close(seconds)
    if waits:
        gate.pass_through(Deadline.after(left))
    else:
        with pytest.raises(GateClosedError):
            gate.pass_through(Deadline.after(left))


def test_it_waits_until_the_gate_is_open() -> None:
    """Whoever waits is let through when the time has come, not before."""
    gate_clock = clock(100, 100, 100.005, 100.01, 100.02)
    gate = Gate(gate_clock)
    gate.close(0.01)
    gate.pass_through(Deadline.after(AMPLE))
    assert gate_clock() == 100.02


def test_a_shorter_closing_does_not_open_it_earlier() -> None:
    """When several calls are throttled, the longest wait counts, in whatever order they come."""
    gate = Gate(clock(100))
    gate.close(90)
    gate.close(70)
    with pytest.raises(GateClosedError) as caught:
        gate.pass_through(Deadline.after(AMPLE))
    assert caught.value.retry_after == 90


def test_a_longer_closing_counts() -> None:
    """A longer wait that is asked for later replaces a shorter one."""
    gate = Gate(clock(100))
    gate.close(70)
    gate.close(90)
    with pytest.raises(GateClosedError) as caught:
        gate.pass_through(Deadline.after(AMPLE))
    assert caught.value.retry_after == 90


def test_a_gate_opens_by_itself() -> None:
    """When the time has come, nobody needs to open it."""
    gate = Gate(clock(100, 190))
    gate.close(90)
    gate.pass_through(Deadline.after(AMPLE))


def test_a_gate_that_closes_for_longer_meanwhile_is_closed() -> None:
    """Who waits looks again: a gate closed anew during the wait is refused like any other."""
    gate = Gate()
    gate.close(0.2)
    refused: list[GateClosedError] = []
    waiting = threading.Event()

    def wait() -> None:
        waiting.set()
        try:
            gate.pass_through(Deadline.after(AMPLE))
        except GateClosedError as error:
            refused.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.wait()
    gate.close(90)
    thread.join()
    assert [round(error.retry_after) for error in refused] == [90]
