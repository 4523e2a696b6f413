from time import monotonic

import pytest

from agreements.deadline import Deadline, bounded


def test_a_deadline_lies_that_many_seconds_ahead() -> None:
    """``after`` counts from now, on the monotonic clock."""
    before = monotonic()
    deadline = Deadline.after(150)
    assert before + 150 <= deadline.at <= monotonic() + 150


def test_a_wait_takes_what_is_left() -> None:
    """Without a limit of its own, a wait may take all that is left, and no more."""
    deadline = Deadline(monotonic() + 100)
    assert 90 < deadline.left() <= 100


@pytest.mark.parametrize(("limit", "left"), [(30.0, 30.0), (0.0, 0.0)], ids=["limit", "none"])
def test_a_wait_never_takes_more_than_its_limit(limit: float, left: float) -> None:
    """A limit below what is left is the whole wait."""
    assert Deadline.after(100).left(limit) == left


@pytest.mark.parametrize("limit", [30.0, float("inf")])
def test_after_the_deadline_nothing_is_left(limit: float) -> None:
    """A deadline that has passed leaves zero, never a negative wait."""
    assert Deadline(monotonic() - 5).left(limit) == 0.0


def test_a_thread_is_bounded_while_a_block_runs() -> None:
    """Whoever cannot be handed a deadline waits no longer either; after the block, as long as ever."""
    assert bounded(30) == 30
    with Deadline.after(100).bounding():
        assert bounded(30) == 30
        with Deadline(monotonic() - 5).bounding():
            assert bounded(30) == 0
        assert 90 < bounded(1000) <= 100
    assert bounded(1000) == 1000
