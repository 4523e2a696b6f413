from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agreements import plan_files
from agreements.dead_letters import Action, Plan
from agreements.journal import JournalError
from agreements.messages import ParkedMessage
from agreements.selection import Selection
from tests.fakes import FakeStore, parked
from tests.test_operations import built, planned


def test_a_plan_is_whole_or_not_there(tmp_path: Path) -> None:
    """When looking fails half-way, no half of a plan is left that somebody could apply."""

    def messages() -> Iterator[ParkedMessage]:
        yield parked(1)
        raise OSError("cut")

    at = built(FakeStore(parked(1)))
    with pytest.raises(OSError, match="cut"):
        at.plan(tmp_path / "plan", Action.REPLAY, messages(), Selection(), told="{}")
    assert list(tmp_path.iterdir()) == []
    assert planned(at, tmp_path / "plan").count == 1


def test_equal_filters_have_one_plan(tmp_path: Path) -> None:
    """The same command finds its plan again; another one has its own; one done with makes room."""
    path = plan_files.plan_of(tmp_path, Action.REPLAY, "{}")
    assert path == plan_files.plan_of(tmp_path, Action.REPLAY, "{}")
    assert path != plan_files.plan_of(tmp_path, Action.REPLAY, '{"limit": 1}')
    at = built(FakeStore(parked(1)))
    plan_files.put_away(planned(at, path))
    plan = planned(at, path)
    at.progress(plan)
    plan_files.put_away(plan)
    assert not path.exists()
    assert len(list(tmp_path.iterdir())) == 3


def test_a_plan_half_put_away_is_in_nobodys_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between its two files, it is put away the next time: no journal is left for another plan."""
    path, at = tmp_path / "plan", built(FakeStore(parked(1)))
    plan = planned(at, path)
    at.progress(plan)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", once(Path.replace))
        with pytest.raises(KeyboardInterrupt):
            plan_files.put_away(plan)
    if path.exists():
        plan_files.put_away(Plan(path))
    assert not at.progress(planned(at, path)).begun


def once(move: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
    """Return what moves one file, and is killed at the second."""
    turns = iter([move])

    def moved(path: Path, to: Path) -> Path:
        if (turn := next(turns, None)) is None:
            raise KeyboardInterrupt
        return turn(path, to)

    return moved


def test_a_plans_place_is_claimed_by_one(tmp_path: Path) -> None:
    """Whoever comes second is refused until the first has ended."""
    path = tmp_path / "plan"
    with plan_files.claimed(path), pytest.raises(JournalError), plan_files.claimed(path):
        pass
    with plan_files.claimed(path):
        assert not path.exists()
