"""The commands for publishers, as a person or a script gives them; queue and subscription are in memory."""

import csv
import io
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from azure.servicebus.exceptions import ServiceBusAuthorizationError, ServiceBusError
from rich.console import Console
from typer.testing import CliRunner, Result

from agreements import toolbox
from agreements.cli import following, talk
from agreements.cli.app import app
from agreements.cli.applying import progress
from agreements.errors import BusyError, DeploymentError
from agreements.messages import ParkedMessage, Place
from agreements.outcome_events import Ending
from agreements.publishing import Outgoing
from tests.fakes import CUSTOMER, PLANTED, FakeStore, parked, told_body
from tests.test_cli_operations import CONNECTION, FakeSys
from tests.test_publishing import BAD, FakePublisher, row

PLACE = "here.example/agreement-acceptances"
RECEIPTS = Place("agreement-outcomes/Subscriptions/receipts")


class FakeQueue(FakePublisher):
    """A queue in memory, as the toolbox has it; ``heard`` is called with each event that is sent."""

    def __init__(self, *errors: BusyError | None) -> None:
        super().__init__(*errors)
        self.place = PLACE
        self.closed = False
        self.refusal: Exception | None = None
        self.heard: Callable[[UUID], object] = lambda _: None

    def check(self) -> None:
        if self.refusal is not None:
            raise self.refusal

    def send(self, messages: Sequence[Outgoing]) -> None:
        super().send(messages)
        for message in messages:
            self.heard(message.id)

    def close(self) -> None:
        self.closed = True


class Shell:
    """Runs commands; ``queue`` and ``store`` are what is at their other end."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch
        self.queue, self.store = FakeQueue(), FakeStore()
        patch.setattr(toolbox, "publishing", lambda _: (self.queue, self.queue.check))
        patch.setattr(toolbox, "operations", lambda _: SimpleNamespace(store=self.store))
        patch.setattr(following, "_LOOK_SECONDS", 0.0)
        patch.setenv("ServiceBus", CONNECTION)
        patch.setenv("OUTCOMES_TOPIC", "agreement-outcomes")

    def __call__(self, *arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, list(arguments), input=stdin)

    def publish(self, *arguments: str, stdin: str | None = None) -> Result:
        return self("publish", *arguments, "--yes", stdin=stdin)

    def tell(self, event: object, ending: Ending, **changes: Any) -> None:
        """Let the subscription hold an outcome event."""
        number = self.store.highest(RECEIPTS) + 1
        told = parked(number, place=RECEIPTS, body=told_body(event, ending, **changes))
        self.store.lying.setdefault(RECEIPTS, []).append(told)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    write("a.jsonl", row(1), BAD, row(2), row(1))
    write("good.jsonl", row(1), row(2))
    return Shell(monkeypatch)


def write(name: str, *rows: object) -> None:
    Path(name).write_text("".join(f"{json.dumps(one)}\n" for one in rows))


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


def interrupted_once() -> Callable[[UUID], object]:
    """Return what presses Ctrl-C when it is first called."""
    left = [signal.SIGINT]

    def press(_: UUID) -> None:
        while left:
            signal.raise_signal(left.pop())

    return press


COUNTS = {"read": 4, "sent": 2, "sentBefore": 0, "repeated": 1, "refused": 1, "notSent": 0}


def test_publishing_tells_faults_and_counts(shell: Shell) -> None:
    """Every fault by line and field, then what is sent where; counts that add up on standard output."""
    result = shell.publish("a.jsonl")
    assert (json.loads(result.stdout), result.exit_code) == (COUNTS, 1)
    told = result.stderr.splitlines()
    assert told[:3] == [
        "a.jsonl, line 2: FieldInvalid customerTenantId: must be a GUID: the customer's Microsoft ID",
        "a.jsonl, line 2: FieldMissing dateAgreed: must be an ISO 8601 date (2018-06-14) or date and time"
        " (2018-06-14T09:30:00Z)",
        "a.jsonl, line 2: FieldMissing primaryContact: must be an object",
    ]
    assert told[3:] == [
        f"send 2 of 4 to {PLACE}",
        "  not sent: 1 repeated, 1 refused",
        "receipt: a.jsonl.receipt.jsonl",
    ]
    assert [line["status"] for line in lines("a.jsonl.receipt.jsonl")] == [
        "sent",
        "refused",
        "sent",
        "repeated",
    ]
    assert not [planted for planted in PLANTED if planted in result.output]
    assert shell.queue.closed


def test_publishing_again_sends_nothing(shell: Shell) -> None:
    """All was sent before, which is as good as now: nobody is asked and nothing has to be reached."""
    shell.publish("good.jsonl")
    shell.queue.refusal = DeploymentError("gone", "Mend it.")
    result = shell("publish", "good.jsonl")
    assert (result.exit_code, len(shell.queue.ids)) == (0, 2)
    assert json.loads(result.stdout)["sentBefore"] == 2


def test_a_dry_run_needs_no_settings(shell: Shell) -> None:
    """It checks, makes no receipt, and looks into one that is there."""
    shell.patch.delenv("ServiceBus")
    result = shell("publish", "a.jsonl", "--dry-run")
    assert (json.loads(result.stdout), result.exit_code) == (COUNTS | {"sent": 0, "notSent": 2}, 1)
    assert not Path("a.jsonl.receipt.jsonl").exists()
    shell.patch.setenv("ServiceBus", CONNECTION)
    shell.publish("a.jsonl")
    assert json.loads(shell("publish", "a.jsonl", "--dry-run").stdout)["sentBefore"] == 2
    assert shell("publish", "good.jsonl", "--dry-run").exit_code == 0


def test_a_table_says_how_it_was_read(shell: Shell) -> None:
    """Delimiter, columns that are not read, blank lines: what a person checks at a glance."""
    head = "Kunde;dateAgreed;firstName;lastName;email;No\x1btes;"
    Path("t.csv").write_text(f"{head}\n{CUSTOMER};2026-01-02;Z;Q;z@q;x;\n\n")
    result = shell.publish("t.csv", "--map", "kunde=customerTenantId", "--source", "https://crm.example")
    assert result.exit_code == 0
    assert result.stderr.splitlines()[:3] == [
        "t.csv: a table, semicolon between its cells",
        "t.csv: columns that are not read: No�tes, (no name)",
        "t.csv: 1 blank lines skipped",
    ]
    assert json.loads(shell.queue.batches[0][0].body)["source"] == "https://crm.example"
    odd = Path("t.csv").read_text().replace(";", "|")
    told = shell.publish(
        "-", "--delimiter", "|", "--map", "Kunde=customerTenantId", "--receipt", "r", stdin=odd
    )
    assert (told.exit_code, "-: a table, '|' between its cells" in told.stderr) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere.csv"], "nowhere.csv: No such file or directory"),
        (["."], ".: Is a directory"),
        (["a.jsonl", "a.jsonl"], "a file is given twice"),
        (["a.jsonl", "sub/a.jsonl", "--receipt", "r"], "two files of one name need a receipt each"),
        (["-"], "standard input has no name to put a receipt beside: say --receipt FILE"),
        (["a.jsonl", "--map", "x=email"], "a.jsonl is jsonl: only a table has columns"),
        (["t.csv", "--map", "x=y"], "x=y should be column=field"),
        (["t.csv", "--delimiter", "::"], "comma, semicolon, tab, or any one character"),
        (["t.csv", "--delimiter", '"'], "comma, semicolon, tab, or any one character"),
        (["t.csv"], "t.csv: no column for customerTenantId"),
        (["a.jsonl", "--rate", "fast"], "such as 10/s or 30/m"),
        (["a.jsonl", "--timeout", "soon"], "such as 90s, 15m, 2h, 7d"),
        (["a.jsonl", "--source", "our CRM"], "a URI, such as"),
        (["a.jsonl", "--format", "xml"], "--format"),
    ],
    ids=" ".join,
)
def test_a_wrong_call_is_told(shell: Shell, arguments: list[str], told: str) -> None:
    """What cannot be meant is refused before anything is sent."""
    Path("t.csv").write_text("email\n")
    Path("sub").mkdir()
    write("sub/a.jsonl", row(1))
    result = shell.publish(*arguments)
    assert (result.exit_code, shell.queue.batches) == (2, [])
    assert told in " ".join(result.stderr.replace("│", " ").split())


def test_what_is_said_stands_above_the_bar(shell: Shell) -> None:
    """On a terminal it has a line of its own, not the end of the one that shows how far it is."""
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=80)
    shell.patch.setattr("agreements.cli.applying.Console", lambda **_: terminal)
    with progress(3):
        talk.say("a [word]")
    [line] = [line for line in screen.getvalue().splitlines() if "word" in line]
    assert line.endswith("a [word]")
    assert "messages" not in line.split("\x1b[2K")[-1]


def test_a_pipe_is_read_once(shell: Shell) -> None:
    """What can be read only once is kept meanwhile, as standard input is: a shell's ``<(command)``."""
    os.mkfifo("pipe")
    with ThreadPoolExecutor() as beside:
        beside.submit(Path("pipe").write_text, Path("good.jsonl").read_text())
        result = shell.publish("pipe")
    assert (result.exit_code, len(shell.queue.ids)) == (0, 2)


def test_a_name_that_is_no_text_is_told_as_one(shell: Shell) -> None:
    """Of a file from another age; its receipt can be written, and read."""
    name = os.fsdecode(b"caf\xe9.jsonl")
    Path("good.jsonl").rename(name)
    assert shell.publish(name).exit_code == 0
    assert [line["file"] for line in lines(f"{name}.receipt.jsonl")] == [
        "caf\N{REPLACEMENT CHARACTER}.jsonl"
    ] * 2
    assert json.loads(shell.publish(name).stdout)["sentBefore"] == 2


def test_a_file_that_breaks_off_sends_nothing(shell: Shell) -> None:
    """Also of the others: nobody can tell what would follow."""
    Path("b.json").write_text('[{"a": 1},\n')
    result = shell.publish("good.jsonl", "b.json")
    assert (result.exit_code, shell.queue.batches) == (1, [])
    assert "b.json, line 2: not JSON from here on\n" in result.stderr


def test_files_without_records_are_nothing_to_do(shell: Shell) -> None:
    """A script tells that from a file that is published."""
    Path("e.csv").touch()
    result = shell.publish("e.csv")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (3, "no records")


def test_nobody_is_asked_in_a_pipe(shell: Shell) -> None:
    """Without --yes a script sends nothing; standard input is the file, not the answer."""
    for arguments in (["good.jsonl"], ["-", "--receipt", "r"]):
        result = shell("publish", *arguments, stdin=Path("good.jsonl").read_text())
        assert (result.exit_code, shell.queue.batches) == (5, [])
        assert "nobody can be asked here: say --yes" in result.stderr


@pytest.mark.parametrize(("answer", "code", "sent"), [("y\n", 0, 2), ("n\n", 5, 0)])
def test_a_person_is_asked(shell: Shell, answer: str, code: int, sent: int) -> None:
    """What will be sent, where and how fast is shown first."""
    shell.patch.setattr("agreements.cli.applying.sys", FakeSys())
    result = shell("publish", "good.jsonl", "--rate", "100/s", stdin=answer)
    assert (result.exit_code, len(shell.queue.ids)) == (code, sent)
    assert f"send 2 of 2 to {PLACE} at 100/s" in result.stderr


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (DeploymentError("this credential may not send to it", "Grant the role."),
         "this credential may not send to it. Grant the role."),
        (ServiceBusAuthorizationError(message="a\nb"),
         "Service Bus failed: ServiceBusAuthorizationError: a"),
    ],
)  # fmt: skip
def test_a_queue_out_of_reach_is_told(shell: Shell, error: Exception, told: str) -> None:
    """Before anybody is asked, with what to do."""
    shell.queue.refusal = error
    result = shell.publish("good.jsonl")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (1, told)
    assert shell.queue.closed


def test_a_wait_is_told_and_a_failure_too(shell: Shell) -> None:
    """Whoever looks on knows why nothing moves; and when it ends, how it goes on."""
    shell.patch.setattr("agreements.publishing._PATIENCE_SECONDS", 0.0)
    shell.patch.setattr("agreements.cli.publish.time.sleep", lambda _: None)
    shell.queue.errors = [BusyError("the queue is full", 0.0)] * 3
    result = shell.publish("good.jsonl")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-2:] == [
        "0 sent; to resume, give the same command again",
        "the queue is full, for 0 minutes",
    ]
    shell.patch.setattr("agreements.publishing._PATIENCE_SECONDS", 60.0)
    shell.queue.errors = [BusyError("the queue is full", 0.0)]
    result = shell.publish("good.jsonl")
    assert (result.exit_code, "the queue is full: trying again in 0 s" in result.stderr) == (0, True)


def test_a_run_can_be_stopped(shell: Shell) -> None:
    """Ctrl-C ends it after the batch in hand; the same command sends the rest."""
    write("many.jsonl", *(row(number) for number in range(150)))
    shell.queue.heard = interrupted_once()
    result = shell.publish("many.jsonl")
    assert (result.exit_code, json.loads(result.stdout)["notSent"]) == (4, 50)
    assert (
        "stopping after the batch in hand …\n100 sent; to resume, give the same command again"
        in result.stderr
    )
    assert shell.publish("many.jsonl").exit_code == 0
    assert len(shell.queue.ids) == len(set(shell.queue.ids)) == 150


def test_one_receipt_may_serve_several_files(shell: Shell) -> None:
    """Each line names its file."""
    write("b.jsonl", row(3))
    shell.publish("good.jsonl", "b.jsonl", "--receipt", "r")
    assert [line["file"] for line in lines("r")] == ["good.jsonl", "good.jsonl", "b.jsonl"]


@pytest.mark.parametrize("text", ["Zoraida\n", "Zoraida"])
def test_a_receipt_that_is_none_is_refused(shell: Shell, text: str) -> None:
    """A file of somebody's is not written over, also where its last line has no end."""
    Path("r").write_text(text)
    result = shell.publish("good.jsonl", "--receipt", "r")
    assert (result.exit_code, Path("r").read_text(), shell.queue.batches) == (5, text, [])
    assert "r, line 1: not a line of a receipt" in result.stderr


def test_waiting_follows_to_the_end(shell: Shell) -> None:
    """From where the subscription stood; what came of each event goes into the receipt."""
    shell.tell(UUID(int=9), Ending.REJECTED)
    shell.queue.heard = lambda event: shell.tell(event, Ending.CONFIRMED, request_id="r")
    result = shell.publish("good.jsonl", "--wait")
    assert result.exit_code == 0
    assert json.loads(result.stdout.splitlines()[1]) == {
        "confirmed": 2,
        "duplicate": 0,
        "rejected": 0,
        "underWay": 0,
    }
    assert "confirmed: 2, duplicate: 0, rejected: 0, still under way: 0" in result.stderr
    told = [line["told"] for line in lines("good.jsonl.receipt.jsonl")]
    assert [(one["outcome"], one["requestId"]) for one in told] == [("confirmed", "r")] * 2
    assert shell.store.closed


def test_waiting_tells_what_is_not_on_record(shell: Shell) -> None:
    """By the exit code, also when it was refused before, and no longer than is wanted."""
    endings = iter([Ending.DELAYED, Ending.REJECTED])
    shell.queue.heard = lambda event: shell.tell(event, next(endings))
    result = shell.publish("good.jsonl", "--wait", "--timeout", "0.01s")
    assert (result.exit_code, json.loads(result.stdout.splitlines()[1])["underWay"]) == (4, 1)
    told = [line["told"]["outcome"] for line in lines("good.jsonl.receipt.jsonl")]
    assert told == ["delayed", "rejected"]


def test_waiting_finds_what_an_earlier_run_sent(shell: Shell) -> None:
    """Whose outcomes lie before where the subscription stands now."""
    shell.queue.heard = lambda event: shell.tell(event, Ending.CONFIRMED)
    shell.publish("a.jsonl")
    result = shell.publish("a.jsonl", "--wait")
    assert json.loads(result.stdout.splitlines()[1])["confirmed"] == 2
    assert result.exit_code == 1, "a record is refused, whatever became of the others"
    assert [line.get("told", {}).get("outcome") for line in lines("a.jsonl.receipt.jsonl")] == [
        "confirmed",
        None,
        "confirmed",
        None,
    ]


@pytest.mark.parametrize(("failures", "code"), [(2, 0), (14, 1)])
def test_waiting_survives_what_passes(shell: Shell, failures: int, code: int) -> None:
    """A look that fails is made again, for ten minutes in all; what was heard by then is noted."""
    slept: list[float] = []
    shell.patch.setattr("agreements.cli.following.time.sleep", slept.append)
    shell.queue.heard = lambda event: shell.tell(event, Ending.CONFIRMED)
    left = [ServiceBusError("busy")] * failures

    def failing(place: Place, first: int = 1) -> Iterator[ParkedMessage]:
        for message in shell.store.peek(place, first):
            yield message
            if left:
                raise left.pop()
        if left:
            raise left.pop()

    store = SimpleNamespace(peek=failing, highest=shell.store.highest, close=shell.store.close)
    shell.patch.setattr(toolbox, "operations", lambda _: SimpleNamespace(store=store))
    result = shell.publish("good.jsonl", "--wait")
    assert result.exit_code == code
    assert "ServiceBusError: looking again in 1 s" in result.stderr
    assert code == 0 or sum(slept) == 600
    assert lines("good.jsonl.receipt.jsonl")[0]["told"]["outcome"] == "confirmed"


def test_waiting_for_what_passes_can_be_ended(shell: Shell) -> None:
    """Ctrl-C is heard also between looks that fail, which are minutes apart."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 9:
            signal.raise_signal(signal.SIGINT)

    def fail(_: Place, __: int = 1) -> object:
        raise ServiceBusError("busy")

    shell.patch.setattr("agreements.cli.following.time.sleep", sleep)
    shell.patch.setattr(shell.store, "highest", lambda _: 0)
    shell.patch.setattr(shell.store, "peek", fail)
    result = shell.publish("good.jsonl", "--wait")
    assert (result.exit_code, len(slept)) == (4, 9)
    assert json.loads(result.stdout.splitlines()[1])["underWay"] == 2


def test_a_subscription_out_of_reach_is_told(shell: Shell) -> None:
    """Before anything is sent, with what to do."""

    def refuse(_: Place) -> int:
        raise ServiceBusAuthorizationError(message="no")

    shell.patch.setattr(shell.store, "highest", refuse)
    result = shell.publish("good.jsonl", "--wait", "--subscription", "mine")
    assert (result.exit_code, shell.queue.batches, shell.store.closed) == (1, [], True)
    assert "agreement-outcomes/Subscriptions/mine cannot be looked into: that needs the role" in result.stderr


def test_waiting_can_be_ended(shell: Shell) -> None:
    """Ctrl-C ends the waiting, not what is under way; what is known by then is noted."""
    peek, looks = shell.store.peek, iter(range(9))

    def interrupted(place: Place, first: int = 1) -> object:
        if next(looks) == 3:
            signal.raise_signal(signal.SIGINT)
        return peek(place, first)

    shell.patch.setattr(shell.store, "peek", interrupted)
    result = shell.publish("good.jsonl", "--wait")
    assert (result.exit_code, "no longer following" in result.stderr) == (4, True)


def test_a_stopped_run_waits_for_nothing(shell: Shell) -> None:
    """Who wants it to end does not want to wait."""
    write("many.jsonl", *(row(number) for number in range(150)))
    shell.queue.heard = interrupted_once()
    result = shell.publish("many.jsonl", "--wait")
    assert (result.exit_code, len(result.stdout.splitlines())) == (4, 1)


def test_without_a_topic_nobody_can_wait(shell: Shell) -> None:
    """Which is told before anything is sent."""
    shell.patch.delenv("OUTCOMES_TOPIC")
    result = shell.publish("good.jsonl", "--wait")
    assert (result.exit_code, shell.queue.batches) == (2, [])
    assert "OUTCOMES_TOPIC is not set" in result.stderr


def table(result: Result) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_a_receipt_is_joined_with_outcomes(shell: Shell) -> None:
    """The file that was published stands for its receipt; all that the subscription has is looked at."""
    shell.queue.heard = lambda event: shell.tell(event, Ending.RECOVERED)
    shell.publish("a.jsonl")
    for name in ("a.jsonl", "a.jsonl.receipt.jsonl"):
        result = shell("receipt", name)
        assert [(one["line"], one["status"], one["outcome"]) for one in table(result)] == [
            ("1", "sent", "recovered"),
            ("2", "refused", ""),
            ("3", "sent", "recovered"),
            ("4", "repeated", "recovered"),
        ]
        assert result.exit_code == 0
        assert result.stderr.endswith("sent: 2, refused: 1, repeated: 1\nrecovered: 2\n")
        assert not [planted for planted in PLANTED if planted in result.output]


def test_what_nobody_told_is_unknown(shell: Shell) -> None:
    """An honest table says so, and so does the exit code."""
    shell.publish("good.jsonl")
    result = shell("receipt", "good.jsonl", "--format", "jsonl")
    assert [json.loads(line)["outcome"] for line in result.stdout.splitlines()] == ["unknown", "unknown"]
    assert result.exit_code == 4


def test_outcomes_that_a_subscriber_kept_are_joined(shell: Shell) -> None:
    """From files, or standard input; then the subscription is not needed, and what is no event is counted."""
    shell.publish("good.jsonl")
    first, second = shell.queue.ids
    Path("kept.jsonl").write_bytes(told_body(first, Ending.CONFIRMED) + b"\n\nwhat\n")
    shell.patch.delenv("ServiceBus")
    more = told_body(second, Ending.DUPLICATE, reason="AlreadyRecorded").decode()
    result = shell("receipt", "good.jsonl", "--outcomes", "kept.jsonl", "--outcomes", "-", stdin=more)
    assert [(one["outcome"], one["reason"]) for one in table(result)] == [
        ("confirmed", ""),
        ("duplicate", "AlreadyRecorded"),
    ]
    assert (result.exit_code, "1 of the outcome events could not be read" in result.stderr) == (0, True)
    assert shell("receipt", "good.jsonl", "--outcomes", "kept.jsonl", "--peek").exit_code == 2


def test_a_file_without_a_receipt_is_joined_too(shell: Shell) -> None:
    """By the ids that its records make; whether they were sent is not claimed."""
    shell.publish("good.jsonl")
    shell.tell(shell.queue.ids[1], Ending.CONFIRMED)
    Path("good.jsonl.receipt.jsonl").unlink()
    result = shell("receipt", "good.jsonl")
    assert [(one["status"], one["outcome"]) for one in table(result)] == [
        ("read", "unknown"),
        ("read", "confirmed"),
    ]
    assert "good.jsonl is no receipt" in result.stderr


def test_a_table_goes_to_a_new_file(shell: Shell) -> None:
    """For its owner alone; one that is there is not written over, and half of one is not left."""
    shell.publish("good.jsonl")
    assert shell("receipt", "good.jsonl", "--no-peek", "-o", "t.csv").exit_code == 4
    assert (len(Path("t.csv").read_text().splitlines()), Path("t.csv").stat().st_mode & 0o777) == (3, 0o600)
    assert shell("receipt", "good.jsonl", "--no-peek", "-o", "t.csv").exit_code == 1
    Path("good.jsonl.receipt.jsonl").write_text(Path("good.jsonl.receipt.jsonl").read_text() + "what\n")
    assert shell("receipt", "good.jsonl", "--no-peek", "-o", "u.csv").exit_code == 5
    shell.patch.setattr("agreements.evidence.write", lambda *_: (_ for _ in ()).throw(OSError("full")))
    Path("good.jsonl.receipt.jsonl").unlink()
    assert shell("receipt", "good.jsonl", "--no-peek", "-o", "u.csv").exit_code == 1
    assert not Path("u.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["nowhere"], 2, "nowhere: No such file or directory"),
        (["."], 2, ".: Is a directory"),
        (["-", "--outcomes", "-"], 2, "standard input can be read once"),
        (["good.jsonl", "--outcomes", "nowhere"], 2, "nowhere: No such file or directory"),
        (["e.csv", "--no-peek"], 3, ""),
    ],
)
def test_a_wrong_receipt_is_told(shell: Shell, arguments: list[str], code: int, told: str) -> None:
    """What cannot be read, or holds nothing."""
    Path("e.csv").touch()
    result = shell("receipt", *arguments)
    assert result.exit_code == code
    assert told in " ".join(result.stderr.replace("│", " ").split())
