import errno
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from agreements.journal import JournalError
from agreements.outcome_events import Advice, Ending
from agreements.receipts import Entry, Known, Receipt, Status, Told, entries
from agreements.seen import Seen, Where

AT = datetime(2026, 11, 21, tzinfo=UTC)
PLACE = "here.example/agreement-acceptances"
TOLD = Told(outcome=Ending.CONFIRMED, advice=Advice.NOTHING, when=AT, correlation_id="c")


def entry(line: int, status: Status = Status.SENT, **more: Any) -> Entry:
    fields: dict[str, Any] = {"file": "a.csv", "line": line, "status": status, "at": AT}
    sent = {"event_id": UUID(int=line), "to": PLACE} if status is Status.SENT else {}
    return Entry(**(fields | sent | more))


def refused(line: int, **more: Any) -> Entry:
    return entry(line, Status.REFUSED, **{"reason": "FieldInvalid", "field": "dateAgreed"} | more)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.csv.receipt.jsonl"


def test_a_receipt_is_read_again(path: Path) -> None:
    """What was sent is known in the next run, each line as it was written; nobody else reads it."""
    told = [
        entry(2),
        refused(3, also_at=("type",)),
        entry(4, Status.REPEATED, event_id=UUID(int=2), first_line=2),
    ]
    with Receipt(path, PLACE) as receipt:
        receipt.write(told)
    assert list(entries(path)) == told
    assert path.stat().st_mode & 0o777 == 0o600
    with Receipt(path, PLACE) as receipt:
        assert [receipt.known.sent_from(UUID(int=number)) for number in (2, 3)] == [("a.csv", 2), None]
        assert (receipt.known.sent, receipt.known.open) == (1, 1)
        receipt.write(told[1:])
        receipt.write([])
    assert len(path.read_bytes().splitlines()) == 3


@pytest.mark.parametrize(
    "torn",
    [b'{"file":"a.csv","li', b'{"fi', b'{"file":' + b"x" * 200_000, b'{"file":"a.cs\0\0', b"\0" * 4096],
)
def test_a_torn_line_did_not_happen(path: Path, torn: bytes) -> None:
    """A line that a crash cut in two is dropped, and the next one stands alone."""
    path.write_bytes(entry(2).written() + torn)
    assert list(entries(path)) == [entry(2)]
    with Receipt(path, PLACE) as receipt:
        receipt.write([entry(3)])
    assert list(entries(path)) == [entry(2), entry(3)]


def test_a_receipt_torn_at_its_birth_is_begun_anew(path: Path) -> None:
    """A crash in the very first line leaves nothing that could mislead."""
    path.write_bytes(entry(2).written()[:-1])
    with Receipt(path, PLACE) as receipt:
        receipt.write([entry(3)])
    assert list(entries(path)) == [entry(3)]


def test_two_processes_cannot_publish_with_one_receipt(path: Path) -> None:
    """The second is refused while the first is at work, also after the first wrote it anew."""
    with Receipt(path, PLACE) as receipt:
        with pytest.raises(JournalError, match="another process is publishing"):
            Receipt(path, PLACE)
        receipt.write([entry(2)])
        receipt.renew(lambda one: one)
        with pytest.raises(JournalError, match="another process is publishing"):
            Receipt(path, PLACE)
        receipt.write([entry(3)])
    assert list(entries(path)) == [entry(2), entry(3)]


@pytest.mark.parametrize(
    "content",
    [b"what\n", b"{}\n", b"Zoraida,Quintanilla\n", b"Zoraida", b'{"file":' + b"x" * 2**18, b"\xef\xbb\xbf{}"],
)
def test_what_is_no_receipt_is_refused(path: Path, content: bytes) -> None:
    """A file of somebody's is not written over, and nothing of it shown; it can be opened again after."""
    path.write_bytes(entry(2).written() + content)
    for _ in range(2):
        with pytest.raises(JournalError, match="line 2: not a line of a receipt") as caught:
            Receipt(path, PLACE)
    assert "Zoraida" not in str(caught.value)
    assert path.read_bytes().endswith(content)


def test_the_receipt_of_another_queue_is_refused(path: Path) -> None:
    """What a test took, production has not: each has a receipt of its own."""
    path.write_bytes(entry(2).written())
    with pytest.raises(JournalError, match=f"tells of events that {PLACE} took, and this is there/q"):
        Receipt(path, "there/q")
    assert Known(path, None).sent_from(UUID(int=2))


def test_a_mended_file_leaves_nothing_of_its_faults(path: Path) -> None:
    """What was sent stays told; of what was not sent only what is so now, and other files' lines stay."""
    other = refused(3, file="b.csv")
    with Receipt(path, PLACE) as receipt:
        receipt.write([entry(2), refused(3), refused(4), refused(5), other])
    with Receipt(path, PLACE) as receipt:
        receipt.write([entry(3), refused(4, reason="FieldMissing"), refused(5)])
        receipt.finish("a.csv")
        receipt.finish("c.csv")
    expected = [entry(2), refused(5), other, entry(3), refused(4, reason="FieldMissing")]
    assert list(entries(path)) == expected


def test_another_fault_takes_the_place_of_the_first(path: Path) -> None:
    """A row that was mended and is bad in another way has one line, with what is so now."""
    for told in (refused(4), refused(4, reason="FieldMissing")):
        with Receipt(path, PLACE) as receipt:
            receipt.write([told])
            receipt.finish("a.csv")
    assert list(entries(path)) == [refused(4, reason="FieldMissing")]


def test_outcomes_are_written_into_a_receipt(path: Path) -> None:
    """The file as it was stays whole until the new one is; an ending closes the event."""
    with Receipt(path, PLACE) as receipt:
        receipt.write([entry(2), refused(3)])
        path.with_name(f"{path.name}.half").write_text("of a crash")
        receipt.renew(lambda one: one.model_copy(update={"told": TOLD}) if one.event_id else one)
    assert [one.told for one in entries(path)] == [TOLD, None]
    assert Known(path, PLACE).open == 0


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_is_full_is_told_by_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The receipt stays as it was, nothing is left beside it, and it can be opened again."""
    with Receipt(path, PLACE) as receipt:
        receipt.write([entry(2)])
        monkeypatch.setattr("agreements.receipts.os.fsync", full)
        with pytest.raises(OSError, match="No space left") as caught:
            receipt.renew(lambda one: one)
        assert caught.value.filename == f"{path}.half"
        with pytest.raises(OSError, match="No space left") as caught:
            receipt.write([entry(3)])
        assert caught.value.filename == str(path)
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    monkeypatch.undo()
    with Receipt(path, PLACE) as receipt:
        assert receipt.known.sent_from(UUID(int=2))


def test_what_was_met_first_is_remembered() -> None:
    """Of equal events the first, in whatever file."""
    seen = Seen()
    assert seen.first(UUID(int=1), Where(0, 7)) == Where(0, 7)
    assert seen.first(UUID(int=1), Where(1, 3)) == Where(0, 7)
    assert seen.first(UUID(int=2), Where(1, 3)) == Where(1, 3)
    assert seen.first(UUID(int=1), Where(0, 7)) == Where(0, 7)
