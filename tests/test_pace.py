import pytest

from agreements.pace import Pace


def seconds(pace: Pace) -> float:
    """Return the seconds from a call to the next, without letting time pass."""
    pace.take(0)
    return pace.due


def refused(times: int) -> Pace:
    """Return a pace that was slowed down so often, after a service had refused many."""
    pace = Pace()
    for _ in range(50):
        pace.refused(at_this_pace=False)
    for _ in range(times):
        pace.refused(at_this_pace=True)
    return pace


def test_who_was_never_refused_has_no_pace() -> None:
    """Until the service says that it was too fast, nothing is held back, however much it answers."""
    pace = Pace()
    pace.answered()
    assert seconds(pace) == 0


def test_nothing_is_due_before_the_first_call() -> None:
    """A refusal sets the pace, not the instant: that is the gate's."""
    assert refused(1).due == 0


@pytest.mark.parametrize(("one_in", "slower"), [(10, False), (4, True)])
def test_only_many_refusals_set_a_pace(one_in: int, slower: bool) -> None:
    """Who refuses one call in ten has reasons of its own, and no pace would help; one in four is too fast."""
    pace = Pace()
    for number in range(1000):
        if number % one_in:
            pace.answered()
        else:
            pace.refused(at_this_pace=True)
    assert (seconds(pace) > 0) is slower


def test_calls_that_were_on_their_way_set_none() -> None:
    """Many at once may be refused for one reason: only the next one after them tells that it was too fast."""
    assert seconds(refused(0)) == 0


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


def test_time_quickens() -> None:
    """A slow pace has few answers to quicken it: a minute does it as well, and a quiet night forgets it."""
    for idle, expected in ((60, 60 / 1.004**60), (8 * 3600, 0)):
        pace = refused(100)
        pace.take(idle)
        assert pace.due - idle == pytest.approx(expected)


def test_a_pace_that_no_longer_holds_back_is_forgotten() -> None:
    """When a hundred calls a second go well there is no pace any more; the next one is a first one."""
    pace = refused(2)
    while seconds(pace):
        pace.answered()
    pace.refused(at_this_pace=True)
    assert seconds(pace) == 0
    for _ in range(20):
        pace.refused(at_this_pace=False)
    pace.refused(at_this_pace=True)
    assert seconds(pace) == 1
