import pytest

from agreements.pace import Pace


def seconds(pace: Pace) -> float:
    """Return the seconds from a call to the next."""
    pace.take(100)
    return pace.due - 100


def refused(times: int) -> Pace:
    pace = Pace()
    for _ in range(times):
        pace.refused()
    return pace


def test_who_was_never_refused_has_no_pace() -> None:
    """Until the service says that it was too fast, nothing is held back, however much it answers."""
    pace = Pace()
    pace.answered()
    assert seconds(pace) == 0


def test_nothing_is_due_before_the_first_call() -> None:
    """A refusal sets the pace, not the instant: that is the gate's."""
    assert refused(1).due == 0


def test_each_refusal_slows_down() -> None:
    """A call a second after the first refusal, then each time slower, down to one a minute."""
    assert [seconds(refused(times)) for times in (1, 2, 3, 100)] == pytest.approx([1, 1.3, 1.69, 60])


def test_each_answer_quickens() -> None:
    """At first by much, to find out how fast the service may be called; once that is known, by little."""
    searching, found = refused(1), refused(2)
    searching.answered()
    found.answered()
    assert seconds(searching) == pytest.approx(1 / 1.05)
    assert seconds(found) == pytest.approx(1.3 / 1.003)


def test_a_pace_that_no_longer_holds_back_is_forgotten() -> None:
    """When a hundred calls a second go well there is no pace any more; the next refusal is a first one."""
    pace = refused(2)
    while seconds(pace):
        pace.answered()
    pace.refused()
    pace.answered()
    assert seconds(pace) == pytest.approx(1 / 1.05)
