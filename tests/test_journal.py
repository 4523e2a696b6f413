import json
from array import array
from pathlib import Path

import pytest

from agreements.journal import Journal, JournalError, Step
from agreements.messages import Place

PLACE = Place("agreement-rejections")
NUMBERS = {PLACE: array("q", [3, 5, 2**49])}


def steps(path: Path) -> list[Step]:
    with Journal(path, "hash", NUMBERS) as journal:
        return [journal.step(PLACE, index) for index in range(3)]


def test_a_journal_is_read_again(tmp_path: Path) -> None:
    """After a crash every message is as far as it had come."""
    with Journal(tmp_path / "j", "hash", NUMBERS) as journal:
        journal.write(Step.SENDING, PLACE, [3, 5])
        journal.write(Step.SENT, PLACE, [3])
        journal.write(Step.LEFT, PLACE, [2**49], "gone")
        journal.write(Step.DONE, PLACE, [])
        assert journal.remaining(PLACE) == 2
        assert list(journal.open_numbers(PLACE)) == [3, 5]
        assert [journal.count(step) for step in Step] == [0, 1, 1, 0, 1]
    assert steps(tmp_path / "j") == [Step.SENT, Step.SENDING, Step.LEFT]
    lines = [json.loads(line) for line in (tmp_path / "j").read_text().splitlines()]
    assert lines[-1] == {"step": "left", "place": "agreement-rejections", "numbers": [2**49], "why": "gone"}


def test_a_torn_line_did_not_happen(tmp_path: Path) -> None:
    """A line that a crash cut in two is dropped, and the next one stands alone."""
    with Journal(tmp_path / "j", "hash", NUMBERS) as journal:
        journal.write(Step.SENT, PLACE, [3])
    whole = (tmp_path / "j").read_bytes()
    (tmp_path / "j").write_bytes(whole + b'{"step": "done", "pl')
    with Journal(tmp_path / "j", "hash", NUMBERS) as journal:
        journal.write(Step.DONE, PLACE, [5])
    assert steps(tmp_path / "j") == [Step.SENT, Step.DONE, Step.OPEN]


def test_a_journal_torn_at_its_birth_is_begun_anew(tmp_path: Path) -> None:
    """A crash in the very first line leaves nothing that could mislead."""
    (tmp_path / "j").write_bytes(b'{"planHa')
    assert steps(tmp_path / "j") == [Step.OPEN] * 3
    assert steps(tmp_path / "j") == [Step.OPEN] * 3


@pytest.mark.parametrize(
    "content", ['{"planHash": "other"}\n', "what\n", "{}\n", '{"planHash": "hash"}\n[]\n']
)
def test_a_journal_of_another_plan_is_refused(tmp_path: Path, content: str) -> None:
    """A plan that was changed is not applied by the journal of the old one."""
    (tmp_path / "j").write_text(content)
    with pytest.raises(JournalError, match="not the journal of this plan"):
        Journal(tmp_path / "j", "hash", NUMBERS)


def test_two_processes_cannot_apply_one_plan(tmp_path: Path) -> None:
    """The second is refused while the first is at work."""
    with (
        Journal(tmp_path / "j", "hash", NUMBERS),
        pytest.raises(JournalError, match="another process"),
    ):
        Journal(tmp_path / "j", "hash", NUMBERS)


def test_a_journal_is_its_owners(tmp_path: Path) -> None:
    """Nobody else reads which events were replayed."""
    steps(tmp_path / "j")
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600
