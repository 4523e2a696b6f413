"""What is sent, noted and sent again: with a queue in memory that fails and dies on demand."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agreements import events, publishing, records
from agreements.errors import BusyError
from agreements.judging import ChangedError, Fate, File, count
from agreements.publishing import Outgoing, Sending, StoppedError
from agreements.receipts import Entry, Receipt, Status, entries
from agreements.records import Format, Reading, Record
from agreements.seen import Seen
from agreements.tables import Told
from tests.fakes import CONTACT, NOW, PLANTED, FakeClock

PLACE = "here.example/agreement-acceptances"


class Died(BaseException):
    """The process was killed here."""


class FakePublisher:
    """A queue in memory; ``errors`` are raised first, ``None`` for none; ``dies`` at that batch, or after."""

    def __init__(self, *errors: BusyError | None, dies: int | None = None, after: bool = False) -> None:
        self.errors = list(errors)
        self.dies, self.after = dies, after
        self.batches: list[list[Outgoing]] = []

    def send(self, messages: Sequence[Outgoing]) -> None:
        if self.errors and (error := self.errors.pop(0)):
            raise error
        dying = self.dies == len(self.batches)
        if dying and not self.after:
            raise Died
        self.batches.append(list(messages))
        if dying:
            raise Died

    @property
    def ids(self) -> list[UUID]:
        return [message.id for batch in self.batches for message in batch]


class Desk:
    """Publishes files of a folder, each with its receipt."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.told: list[int] = []
        self.waited: list[tuple[str, float]] = []
        self.stop_at: int | None = None

    def file(self, lines: Sequence[object], name: str = "a.jsonl") -> Path:
        path = self.folder / name
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        return path

    def receipt(self, path: Path) -> Path:
        return path.with_name(f"{path.name}.receipt")

    def __call__(
        self, *paths: Path, publisher: FakePublisher | None = None, rate: float | None = None
    ) -> Counter[Fate]:
        opened = [Receipt(self.receipt(path), PLACE) for path in paths]
        try:
            files = [
                File(
                    name=path.name,
                    reading=Reading(path=path, format=Format.JSON_LINES, now=NOW),
                    known=receipt.known,
                )
                for path, receipt in zip(paths, opened, strict=True)
            ]
            seen = Seen()
            *_, counted = count(files, seen, lambda file, record: None)
            sending = Sending(
                files=files,
                seen=seen,
                publisher=publisher or FakePublisher(),
                place=PLACE,
                source="urn:crm",
                rate=rate,
                told=self.told.append,
                waiting=lambda busy, seconds: self.waited.append((str(busy), seconds)),
                stopping=lambda: self.stop_at is not None and len(self.told) >= self.stop_at,
                pause=self.clock.sleep,
                clock=self.clock,
            )
            sending(opened)
            assert sending.sent == counted[Fate.SEND]
            return counted
        finally:
            for receipt in opened:
                receipt.__exit__(None, None, None)

    def lines(self, path: Path) -> list[Entry]:
        return list(entries(self.receipt(path)))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def row(number: int, **more: object) -> dict[str, object]:
    customer = f"beefbeef-0000-4000-8000-{number:012x}"
    return {"customerTenantId": customer, "dateAgreed": "2026-01-02", "primaryContact": dict(CONTACT)} | more


BAD: dict[str, object] = {"customerTenantId": "Zoraida"}


def test_what_is_sound_is_sent_and_each_record_told(desk: Desk) -> None:
    """An event of the contract in a CloudEvent's envelope; the others are told with why, and nobody named."""
    path, publisher = desk.file([row(1), BAD, row(2), row(1)]), FakePublisher()
    counted = desk(path, publisher=publisher)
    assert counted == {Fate.SEND: 2, Fate.REFUSED: 1, Fate.REPEATED: 1}
    [[first, second]] = publisher.batches
    assert (first.content_type, json.loads(first.body)["id"]) == (
        "application/cloudevents+json",
        str(first.id),
    )
    assert {key: value for key, value in json.loads(first.body).items() if key not in ("id", "data")} == {
        "specversion": "1.0",
        "source": "urn:crm",
        "type": publishing.TYPE,
        "subject": row(1)["customerTenantId"],
        "datacontenttype": "application/json",
    }
    assert events.parse(first.body, first.content_type) == events.read(row(1))
    told = desk.lines(path)
    assert [(one.line, one.status, one.event_id, one.first_line) for one in told] == [
        (1, Status.SENT, first.id, None),
        (2, Status.REFUSED, None, None),
        (3, Status.SENT, second.id, None),
        (4, Status.REPEATED, first.id, 1),
    ]
    assert (told[1].reason, told[1].field) == ("FieldInvalid", "customerTenantId")
    assert told[1].also_at == ("dateAgreed", "primaryContact")
    assert (told[0].to, str(told[0].date_agreed)) == (PLACE, "2026-01-02 00:00:00+00:00")
    assert not [planted for planted in PLANTED if planted in desk.receipt(path).read_text()]
    assert not [planted for planted in PLANTED if planted in repr(publisher.batches)]


def test_the_same_file_again_sends_nothing(desk: Desk) -> None:
    """And adds nothing to its receipt; a row that was mended goes out, and its fault is gone."""
    path = desk.file([row(1), BAD, row(1)])
    desk(path)
    before, again = desk.lines(path), FakePublisher()
    assert desk(path, publisher=again) == {Fate.BEFORE: 1, Fate.REFUSED: 1, Fate.REPEATED: 1}
    assert (again.batches, desk.lines(path)) == ([], before)
    desk.file([row(1), row(2), row(1)])
    assert desk(path, publisher=again)[Fate.SEND] == 1
    assert [(one.line, one.status) for one in desk.lines(path)] == [
        (1, Status.SENT),
        (3, Status.REPEATED),
        (2, Status.SENT),
    ]


def test_files_that_are_published_together_send_a_record_once(desk: Desk) -> None:
    """The second names the file and line of the first."""
    one, two, publisher = desk.file([row(1)]), desk.file([BAD, row(1)], "b.jsonl"), FakePublisher()
    desk(one, two, publisher=publisher)
    assert len(publisher.ids) == 1
    assert [(line.status, line.first_file, line.first_line) for line in desk.lines(two)] == [
        (Status.REFUSED, None, None),
        (Status.REPEATED, "a.jsonl", 1),
    ]


def test_a_receipt_tells_of_each_file_that_shares_it(desk: Desk) -> None:
    """Also where a later run finds a record of another file that was sent: it names file and line, once."""
    one, two, publisher = desk.file([row(1)]), desk.file([BAD, row(1), row(2)], "b.jsonl"), FakePublisher()
    desk(one, publisher=publisher)
    desk.receipt(one).rename(desk.receipt(two))
    for _ in range(2):
        desk(two, publisher=publisher)
    assert len(publisher.ids) == 2
    assert [(told.file, told.line, told.status, told.first_file) for told in desk.lines(two)] == [
        ("a.jsonl", 1, Status.SENT, None),
        ("b.jsonl", 1, Status.REFUSED, None),
        ("b.jsonl", 2, Status.REPEATED, "a.jsonl"),
        ("b.jsonl", 3, Status.SENT, None),
    ]


@settings(deadline=None)  # each example writes files
@given(
    st.lists(st.sampled_from("gggbr"), min_size=1, max_size=60),
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=4),
    st.integers(1, 7),
)
def test_a_run_survives_every_kill(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[str], kills: list[tuple[int, bool]], size: int
) -> None:
    """Each good row arrives, one batch for each kill at most arrives twice, and each record has one line."""
    desk = Desk(tmp_path_factory.mktemp("desk"))
    good = {number: row(number) for number, kind in enumerate(kinds) if kind == "g"}
    rows = [good.get(number, BAD if kind == "b" else row(10_000)) for number, kind in enumerate(kinds)]
    path, arrived = desk.file(rows), Counter[UUID]()
    for dies, after in kills:
        publisher = FakePublisher(dies=dies, after=after)
        try:
            desk(path, publisher=publisher, rate=size)
        except Died:
            # What the broker took while this process died.
            receipt = desk.receipt(path)
            receipt.write_bytes(receipt.read_bytes() + b'{"file":"a.')
        arrived.update(publisher.ids)
    publisher = FakePublisher()
    desk(path, publisher=publisher, rate=size)
    arrived.update(publisher.ids)
    told = desk.lines(path)
    assert sorted(one.line for one in told) == list(range(1, len(rows) + 1))
    expected = {events.read(one).customer_tenant_id for one in rows if one is not BAD}
    sent = [one for one in told if one.status is Status.SENT]
    assert {one.customer_tenant_id for one in sent} == expected
    assert {one.event_id for one in sent} == set(arrived)
    assert len(sent) == len(expected)
    assert sum(times - 1 for times in arrived.values()) <= size * len(kills)


def test_batches_are_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """In how many they have, in bytes, and in how long what is not sent waits to be noted."""
    publisher = FakePublisher()
    desk(desk.file([row(number) for number in range(250)]), publisher=publisher)
    assert [len(batch) for batch in publisher.batches] == [100, 100, 50]
    assert desk.told == [100, 100, 50]
    monkeypatch.setattr(publishing, "_BATCH_BYTES", 1000)
    publisher = FakePublisher()
    desk(desk.file([row(number) for number in range(10)], "b.jsonl"), publisher=publisher)
    assert [len(batch) for batch in publisher.batches] == [3, 3, 3, 1]
    monkeypatch.setattr(publishing, "_NOTED", 2)
    publisher = FakePublisher()
    desk(desk.file([row(1), BAD, BAD, row(2)], "c.jsonl"), publisher=publisher)
    assert [len(batch) for batch in publisher.batches] == [1, 1]


def test_a_rate_is_kept(desk: Desk) -> None:
    """No more a second than was said, from the first batch on."""
    publisher = FakePublisher()
    desk(desk.file([row(number) for number in range(25)]), publisher=publisher, rate=10.0)
    assert [len(batch) for batch in publisher.batches] == [10, 10, 5]
    assert sum(desk.clock.slept) == pytest.approx(2.0)
    slow = FakePublisher()
    desk(desk.file([row(1), row(2)], "b.jsonl"), publisher=slow, rate=0.5)
    assert [len(batch) for batch in slow.batches] == [1, 1]


def test_what_passes_is_waited_for(desk: Desk) -> None:
    """Longer each time, up to half a minute, and nothing is noted that the broker did not take."""
    busy = BusyError("Service Bus asked for fewer messages", 10.0)
    path, publisher = desk.file([row(1)]), FakePublisher(busy, busy, busy)
    desk(path, publisher=publisher)
    assert [seconds for _, seconds in desk.waited] == [10.0, 20.0, 30.0]
    assert sum(desk.clock.slept) == pytest.approx(60.0)
    assert len(publisher.ids) == len(desk.lines(path)) == 1


def test_what_does_not_pass_ends_the_run(desk: Desk) -> None:
    """After ten minutes in which nothing went through; the same command goes on from there."""
    busy = BusyError("the queue is full", 10.0)
    path, publisher = desk.file([row(number) for number in range(101)]), FakePublisher(None, *[busy] * 50)
    with pytest.raises(BusyError):
        desk(path, publisher=publisher)
    assert 600 <= sum(desk.clock.slept) < 640
    assert len(desk.lines(path)) == 100
    assert desk(path)[Fate.SEND] == 1


@pytest.mark.parametrize("errors", [(), (None, BusyError("busy", 10.0))])
def test_a_person_can_stop_it(desk: Desk, errors: tuple[BusyError | None, ...]) -> None:
    """After the batch in hand, or while it waits; what was taken is noted."""
    desk.stop_at = 1
    path, publisher = desk.file([row(number) for number in range(150)]), FakePublisher(*errors)
    with pytest.raises(StoppedError):
        desk(path, publisher=publisher)
    assert len(publisher.ids) == len(desk.lines(path)) == 100


def test_a_file_that_changes_is_noticed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was checked is what is sent, or the run ends."""
    path = desk.file([row(1), row(2)])
    read = records.read

    def growing(reading: Reading, told: Told) -> Iterator[Record]:
        yield from read(reading, told)
        desk.file([row(1)])

    monkeypatch.setattr(records, "read", growing)
    with pytest.raises(ChangedError, match=r"a\.jsonl was changed while it was read"):
        desk(path)
