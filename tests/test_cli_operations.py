"""The commands for operations, as a person or a script gives them; what waits is in memory."""

import errno
import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import pytest
import typer
from azure.servicebus.exceptions import ServiceBusConnectionError
from typer.testing import CliRunner, Result

from agreements import toolbox
from agreements.cli import applying, masking, output, talk
from agreements.cli.app import app
from agreements.dead_letters import Action
from agreements.deadline import Deadline
from agreements.errors import DeploymentError, TokenError
from agreements.events import Agreement
from agreements.exports import to_record
from agreements.messages import ParkedMessage, Place, State
from agreements.selection import Selection
from tests import fakes
from tests.fakes import CORRELATION, CUSTOMER, NOW, PLANTED, REJECTIONS, FakeStore, parked
from tests.test_doubts import UNREADABLE
from tests.test_operations import RETRIES, built

DUPLICATES = Place("agreement-duplicates")
DEAD = Place("agreement-acceptances", dead=True)
CONNECTION = "Endpoint=sb://localhost;SharedAccessKeyName=n;SharedAccessKey=k"
WHY = ["--why", "mended"]
PARTNER = {
    "PARTNER_TENANT_ID": str(CUSTOMER),
    "PARTNER_CLIENT_ID": str(CUSTOMER),
    "PARTNER_CLIENT_SECRET": "s",
    "PARTNER_REFRESH_TOKEN": "r",
}


class FakeClient:
    """Partner Center, as the commands ask it."""

    def __init__(self) -> None:
        self.recorded: list[Agreement] = []
        self.direct = False
        self.error: Exception | None = None

    def template_ids(self, deadline: Deadline) -> list[str]:
        if self.error:
            raise self.error
        return ["t"]

    def customer_agreements(
        self, customer: UUID, *, correlation_id: UUID, deadline: Deadline
    ) -> list[Agreement]:
        self.template_ids(deadline)
        return self.recorded

    def direct_acceptance(self, customer: UUID, *, correlation_id: UUID, deadline: Deadline) -> bool:
        return self.direct


class Shell:
    """Runs commands against a store; ``store`` and ``client`` are what is at their other end."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch) -> None:
        self.home, self.patch = home, patch
        self.store, self.client = FakeStore(), FakeClient()
        patch.setattr(toolbox, "operations", lambda _: built(self.store))
        patch.setattr(toolbox, "partner_tools", lambda _: SimpleNamespace(partner_center=self.client))
        patch.setattr(typer, "get_app_dir", lambda _: str(home / "state"))
        patch.setenv("ServiceBus", CONNECTION)
        for name in PARTNER:
            patch.delenv(name, raising=False)

    def lie(self, *messages: ParkedMessage) -> None:
        """Let these wait."""
        self.store = FakeStore(*messages)

    def partner(self) -> None:
        """Let this machine have a credential."""
        for name, value in PARTNER.items():
            self.patch.setenv(name, value)

    def __call__(self, *arguments: str, stdin: str | None = None) -> Result:
        """Run a command."""
        return CliRunner().invoke(app, list(arguments), input=stdin)

    @property
    def state(self) -> Path:
        return self.home / "state"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path, monkeypatch)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands believe that they speak to a terminal of 80 columns, and a person answers."""
    monkeypatch.setattr("agreements.cli.output.sys", FakeSys())
    monkeypatch.setattr("agreements.cli.parked.sys", FakeSys())
    monkeypatch.setattr("agreements.cli.applying.sys", FakeSys())
    monkeypatch.setenv("COLUMNS", "80")


class FakeSys:
    """A ``sys`` whose streams are a terminal's."""

    @dataclass
    class Terminal:
        there: bool = True

        def isatty(self) -> bool:
            return self.there

        def write(self, text: str) -> int:
            return sys.stderr.write(text)

    stdin = stdout = Terminal()


def rows(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def numbers(store: FakeStore) -> list[int]:
    return [message.sequence_number for _, message in store.sent]


def three() -> list[ParkedMessage]:
    return [
        parked(1, enqueued_time=datetime.now(UTC) - timedelta(hours=2)),
        parked(2, properties={"mcaReason": "NoRelationship", "mcaErrorCode": "20002"}),
        parked(
            9,
            place=DEAD,
            properties={"mcaOrigin": None, "mcaReason": None, "DeadLetterReason": "TTLExpiredException"},
        ),
    ]


def test_list_prints_lines_for_a_pipe(shell: Shell) -> None:
    """A line per message, tabs between, no head: place, number, age, reason, customer, event."""
    shell.lie(*three())
    result = shell("parked", "list")
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert lines[0] == ["agreement-rejections", "1", "2h", "Refused", str(CUSTOMER), "event-1"]
    assert [line[3] for line in lines] == ["Refused", "NoRelationship", "TTLExpiredException"]
    assert (result.exit_code, result.stderr, shell.store.closed) == (0, "", True)


@pytest.mark.usefixtures("terminal")
def test_list_fits_a_terminal(shell: Shell) -> None:
    """With a head, and nothing beyond the width of the terminal."""
    shell.lie(*three())
    result = shell("parked", "list")
    head, *lines = result.stdout.splitlines()
    assert head.split() == ["PLACE", "NUMBER", "AGE", "REASON", "CUSTOMER", "EVENT"]
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
    assert lines[0].split() == ["rejections", "1", "2h", "Refused", f"{str(CUSTOMER)[:8]}…", "event-1"]


def test_list_prints_json(shell: Shell) -> None:
    """An object per line, with what a script needs; a scheduled one says when it comes."""
    shell.lie(parked(1, place=RETRIES, state=State.SCHEDULED, scheduled_for=NOW))
    result = shell("parked", "list", "--from", "retries", "--json")
    [row] = rows(result)
    assert row == {
        "place": "agreement-retries",
        "sequenceNumber": 1,
        "enqueuedTime": NOW.isoformat(),
        "scheduledFor": NOW.isoformat(),
        "state": "scheduled",
        "reason": "Refused",
        "customerTenantId": str(CUSTOMER),
        "eventId": "event-1",
        "replay": 0,
        "deliveryCount": 0,
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--reason", "norelationship"], [2]),
        (["--reason", "NoRelationship", "--reason", "Refused"], [1, 2]),
        (["--error-code", "20002"], [2]),
        (["--customer", str(CUSTOMER), "--limit", "2"], [1, 2]),
        (["--event-id", "event-2"], [2]),
        (["--sequence-number", "9"], [9]),
        (["--since", "3h"], [1]),
        (["--until", "2026-03-02T10:00"], [2, 9]),
        (["--where", "source=crm", "--from", "dead-letters"], [9]),
        (["--from", "rejections", "--from", "agreement-rejections"], [1, 2]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_filters_choose(shell: Shell, options: list[str], expected: list[int]) -> None:
    """Each filter, wherever it is given."""
    shell.lie(*three())
    assert [row["sequenceNumber"] for row in rows(shell("parked", "list", "--json", *options))] == expected


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--from", "nowhere"], "nowhere is none of"),
        (["--since", "soon"], "neither ISO 8601"),
        (["--where", "source"], "source lacks its =VALUE"),
        (["--where", "=x"], "lacks its =VALUE"),
        (["--customer", "x"], "--customer"),
        (["--limit", "0"], "--limit"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_filter_is_told(shell: Shell, options: list[str], told: str) -> None:
    """A filter that cannot be meant is a wrong call, and nothing is looked at."""
    result = shell("parked", "list", *options)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    "command",
    [
        ["parked", "list"],
        ["parked", "list", "--json"],
        ["parked", "groups"],
        ["parked", "groups", "--json"],
        ["parked", "show"],
        ["parked", "plan", "-o", "plan"],
        ["parked", "export", "-o", "export"],
        ["parked", "replay", *WHY, "--yes"],
        ["parked", "discard", "--reason", "Refused", *WHY, "--yes"],
        ["retries", "release", *WHY, "--yes"],
        ["trace", "event-1"],
    ],
    ids=" ".join,
)
def test_nothing_to_do_has_an_exit_code_of_its_own(shell: Shell, command: list[str]) -> None:
    """A script tells "nothing" from "done" and from "failed", and standard output stays empty."""
    result = shell(*command)
    assert (result.exit_code, result.stdout) == (3, "")


def test_a_reader_that_has_enough_is_no_failure(shell: Shell) -> None:
    """``| head`` ends the command without a word."""
    shell.lie(*three())

    def closed(_: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    shell.patch.setattr(typer, "echo", closed)
    result = shell("parked", "list")
    assert (result.exit_code, result.output) == (1, "")


def test_groups_count_and_advise(shell: Shell) -> None:
    """By place and reason: how many, how old, what to do."""
    shell.lie(*three(), parked(3), parked(4, properties={"mcaReason": None}))
    lines = [line.split("\t") for line in shell("parked", "groups").stdout.splitlines()]
    assert lines[0][0] == "2"
    assert lines[0][2:] == ["Refused in agreement-rejections", parked().advice]
    assert "(no reason) in agreement-rejections" in {line[2] for line in lines}
    first = rows(shell("parked", "groups", "--json"))[0]
    assert first["count"] == 2
    assert first["oldest"] == NOW.isoformat()


@pytest.mark.usefixtures("terminal")
def test_groups_fit_a_terminal(shell: Shell) -> None:
    """As a table, folded to the width."""
    shell.lie(*three())
    lines = shell("parked", "groups").stdout.splitlines()
    assert lines[0].split() == ["COUNT", "OLDEST", "REASON", "WHAT", "TO", "DO"]
    assert max(map(len, lines)) <= 80


PERSONAL = {
    "name": "Zoraida",
    "mcaEventId": "zq@planted.example",
    "mcaOrigin": None,
    "DeadLetterReason": "X",
    "DeadLetterErrorDescription": "Quintanilla was refused",
}


@pytest.mark.parametrize(
    "command", [["parked", "show"], ["parked", "list"], ["parked", "list", "--json"], ["trace", "id-7"]]
)
@pytest.mark.parametrize(
    "body",
    [
        fakes.body(),
        b"\xff Zoraida",
        json.dumps(["Quintanilla", {"zq@planted.example": 1, "type": ["+34 600 700 800"]}]).encode(),
        json.dumps({"customerTenantId": "Zoraida", "dateAgreed": "Quintanilla"}).encode(),
    ],
    ids=["event", "no-json", "odd", "in-the-wrong-field"],
)
def test_personal_data_is_masked(shell: Shell, command: list[str], body: bytes) -> None:
    """Names, addresses and numbers are shown to nobody who did not ask for them."""
    shell.lie(parked(body=body, properties=PERSONAL, subject="Zoraida"))
    result = shell(*command)
    assert result.exit_code == 0
    assert not [planted for planted in PLANTED if planted in result.output]


def test_personal_data_can_be_revealed(shell: Shell) -> None:
    """Who must know it asks for it."""
    shell.lie(parked(properties=PERSONAL, subject="S"), parked(8, body=b"Zoraida", properties=PERSONAL))
    shown = shell("parked", "show", "--reveal").stdout
    assert not [planted for planted in PLANTED if planted not in shown]
    assert '"body": "Zoraida"' in shown
    assert "zq@planted.example" in shell("parked", "list", "--reveal").stdout
    assert "zq@planted.example" in shell("trace", "id-7", "--reveal").stdout


@pytest.mark.parametrize("command", [["parked", "list"], ["trace", "id-7", "--reveal"], ["parked", "groups"]])
def test_a_stranger_cannot_steer_the_terminal(shell: Shell, command: list[str]) -> None:
    """Escape sequences in a reason or a property are shown, and do nothing."""
    evil = {"mcaReason": None, "DeadLetterReason": "\x1b[2Jgone", "evil": "\x1b]0;title\x07"}
    shell.lie(parked(properties=evil))
    result = shell(*command)
    assert (result.exit_code, "\x1b" in result.stdout, "gone" in result.stdout) == (0, False, True)


@pytest.mark.parametrize("command", [["list", "--json"], ["show", "--reveal"], ["list"], ["groups"]])
def test_what_a_terminal_would_obey_is_escaped(shell: Shell, command: list[str]) -> None:
    """Also what JSON itself leaves as it is: a control of one byte, or one that turns the line around."""
    shell.lie(parked(body='{"x": "\u202e"}'.encode(), properties={"mcaReason": "a\x9b2Jb\u202e"}))
    shown = shell("parked", *command).stdout
    assert not [char for char in shown if not char.isprintable() and char not in "\n\t"]


@pytest.mark.parametrize("name", ["mcaReason", "mcaCorrelationId"])
def test_what_a_terminal_would_obey_is_not_said_either(shell: Shell, name: str) -> None:
    """Nor in what commands say beside their data, nor where an id of ours should stand."""
    shell.lie(parked(properties={name: "a\x1b[2Jb\x9b\u202e"}))
    for command in (["parked", "plan", "-o", "plan"], ["trace", "id-7"]):
        result = shell(*command)
        assert result.exit_code == 0
        assert not [char for char in result.output if not char.isprintable() and char != "\n"]


def test_half_a_character_is_no_failure(shell: Shell) -> None:
    """A body may hold what no stream can take; it is shown as JSON escapes it."""
    shell.lie(parked(body=b'{"x": "\\ud800"}'))
    result = shell("parked", "show", "--reveal")
    assert (result.exit_code, '"x": "\\ud800"' in result.stdout) == (0, True)


def test_show_tells_what_speaks_against_a_replay(shell: Shell) -> None:
    """With advice and doubts beside what is known of the event."""
    shell.lie(parked(body=b"", properties={"mcaErrorCode": "2000", "mcaReplay": 1}))
    shown = json.loads(shell("parked", "show").stdout)
    assert shown["doubts"] == ["still no event, Empty: mend it, by parked export and import"]
    assert shown["advice"] == parked().advice
    assert shown["properties"]["source"] == masking.HIDDEN
    assert shown["properties"]["mcaReplay"] == "1"


def test_trace_finds_an_event_wherever_it_is(shell: Shell) -> None:
    """By any of its ids, in every queue, with the correlation id that the log has."""
    later = datetime.now(UTC) + timedelta(hours=1)
    shell.lie(
        parked(1, properties={"mcaEventId": "a1"}),
        parked(
            2,
            place=RETRIES,
            state=State.SCHEDULED,
            scheduled_for=later,
            properties={"mcaEventId": "a1", "mcaCorrelationId": str(CORRELATION), "mcaReason": None},
        ),
        parked(3),
    )
    result = shell("trace", "a1")
    assert "agreement-rejections, 1: active" in result.stdout
    assert f"comes again at {later.isoformat(timespec='seconds')}" in result.stdout
    assert [row["sequenceNumber"] for row in rows(shell("trace", "a1", "--json"))] == [2, 1]
    assert len(rows(shell("trace", str(CORRELATION), "--json"))) == 3


@pytest.mark.usefixtures("terminal")
def test_trace_fits_a_terminal(shell: Shell) -> None:
    """Advice and description are folded, each below its beginning."""
    shell.lie(parked(properties={"DeadLetterErrorDescription": "x " * 50}))
    lines = shell("trace", "event-7").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    [at] = [number for number, line in enumerate(lines) if "Description" in line]
    assert (lines[at + 1].startswith(29 * " " + "x"), lines[1][:12]) == (True, "  Refused: L")


@pytest.mark.parametrize(
    ("width", "lines"), [(None, ["- one two"]), (7, ["- one", "  two"])], ids=["in-a-pipe", "in-a-terminal"]
)
def test_what_is_long_hangs(width: int | None, lines: list[str]) -> None:
    """Folded to a terminal's width below its beginning, and nowhere else."""
    assert talk.hanging("- ", "one two", width).splitlines() == lines


def test_trace_finds_no_event_without_a_name(shell: Shell) -> None:
    """Nothing that lacks an id is taken for it."""
    shell.lie(parked(correlation_id=None))
    assert shell("trace", " ").exit_code == 2
    assert shell("trace", "id-7").exit_code == 0


def test_trace_says_where_else_to_look(shell: Shell) -> None:
    """An event that waits nowhere was confirmed or discarded, or never came; the log knows."""
    assert "It waits nowhere" in shell("trace", "a1").stderr


UNREADABLE_ONCE = f"        1  {UNREADABLE}"


def test_plan_is_written_and_told(shell: Shell) -> None:
    """What is chosen, what is skipped and why, what is doubtful; standard output stays empty."""
    shell.lie(*three(), parked(3, body=b"?"), parked(4, properties={"mcaReplay": 2}))
    result = shell("parked", "plan", "-o", "plan", "--reason", "Refused", "--max-replays", "2")
    assert (result.exit_code, result.stdout) == (0, "")
    told = result.stderr.split("\n")
    assert told[0] == "chosen: 2"
    assert {"        1  replayed 2 times already", UNREADABLE_ONCE} <= set(told)


def test_replay_applies_a_plan(shell: Shell) -> None:
    """Exactly what it names, and the second time there is nothing to do."""
    shell.lie(*three())
    shell("parked", "plan", "-o", "plan", "--from", "rejections")
    shell.store.lying[REJECTIONS].append(parked(10))
    result = shell("parked", "replay", "plan", *WHY, "--yes")
    assert result.exit_code == 0
    assert numbers(shell.store) == [1, 2]
    assert "replay 2 of 2 to agreement-acceptances\n        2  from agreement-rejections" in result.stderr
    assert "Partner Center is not checked: this machine has no credential" in result.stderr
    again = shell("parked", "replay", "plan", *WHY, "--yes")
    assert (again.exit_code, "nothing to do" in again.stderr) == (3, True)
    assert {message.text("mcaReplayWhy") for _, message in shell.store.sent} == {"mended"}


@pytest.mark.parametrize("terminal", [True, False])
def test_the_log_line_of_a_change_is_for_a_log(
    shell: Shell, caplog: pytest.LogCaptureFixture, terminal: bool
) -> None:
    """A person in a terminal is told where the audit record is, and not shown what is made for machines."""
    shell.patch.setattr("agreements.cli.talk.sys", SimpleNamespace(stderr=FakeSys.Terminal(terminal)))
    shell.lie(*three())
    with caplog.at_level("WARNING", "agreements"):
        result = shell("parked", "replay", *WHY, "--yes")
    assert f"audit record: {shell.state / 'audit.jsonl'}" in result.stderr
    assert bool(caplog.messages) is not terminal


def test_replay_by_filters_makes_its_plan(shell: Shell) -> None:
    """Without a plan the filters choose; duplicates are not replayed unless they are named."""
    shell.lie(*three(), parked(5, place=DUPLICATES))
    result = shell("parked", "replay", *WHY, "--yes", "--rate", "100/s", "--canary", "1")
    assert result.exit_code == 0
    assert numbers(shell.store) == [1, 2, 9]
    assert "at 100/s, 1 of them first" in result.stderr
    assert len((shell.state / "audit.jsonl").read_text().splitlines()) == 2
    # The same command again chooses anew.
    shell.store.lying[REJECTIONS].append(parked(11))
    assert shell("parked", "replay", *WHY, "--yes", "--rate", "100/s", "--canary", "1").exit_code == 0
    assert numbers(shell.store) == [1, 2, 9, 11]


def test_a_run_that_was_cut_off_resumes(shell: Shell) -> None:
    """The same command goes on with the plan that it began."""
    shell.lie(*three())
    shell.store.errors["complete"] = [None, ServiceBusConnectionError(message="cut\nby the network")]
    result = shell("parked", "replay", *WHY, "--yes")
    assert result.exit_code == 1
    assert "to resume, give the same command again" in result.stderr
    assert "Service Bus failed: ServiceBusConnectionError: cut\n" in result.stderr
    shell.store.lying[REJECTIONS].append(parked(10))
    result = shell("parked", "replay", *WHY, "--yes")
    assert result.exit_code == 0
    assert "resuming" in result.stderr
    assert numbers(shell.store) == [1, 2, 9]
    assert [message.sequence_number for message in shell.store.lying[REJECTIONS]] == [10]


def test_what_is_left_makes_it_partly_done(shell: Shell) -> None:
    """A script tells by the exit code that a person must look."""
    shell.lie(*three())
    shell.store.too_large = {2}
    result = shell("parked", "replay", *WHY, "--yes")
    assert result.exit_code == 4
    assert "left where they are: 1\n        1  too large for a copy" in result.stderr


def test_a_stopped_run_tells_how_to_resume(shell: Shell) -> None:
    """A canary that came back leaves the others where they are."""
    shell.lie(*three())
    send = shell.store.send

    def come_back(queue: str, messages: list[ParkedMessage]) -> list[int]:
        shell.store.lying[REJECTIONS] += [replace(one, sequence_number=20) for one in messages]
        return send(queue, messages)

    shell.patch.setattr(shell.store, "send", come_back)
    result = shell("parked", "replay", *WHY, "--yes", "--canary", "1")
    assert result.exit_code == 4
    assert "stopped: the canary was parked again: 1 (no reason)" in result.stderr
    assert "to resume, give the same command again" in result.stderr
    assert numbers(shell.store) == [1]


def test_waiting_prints_the_tally(shell: Shell) -> None:
    """How many were confirmed, are under way, came back: on standard output, as JSON."""
    shell.lie(*three())
    send = shell.store.send

    def come_back(queue: str, messages: list[ParkedMessage]) -> list[int]:
        shell.store.lying.setdefault(DUPLICATES, []).append(replace(messages[0], sequence_number=20))
        return send(queue, messages)

    shell.patch.setattr(shell.store, "send", come_back)
    result = shell("parked", "replay", "--from", "rejections", *WHY, "--yes", "--wait")
    [tally] = rows(result)
    assert (tally["confirmed"], tally["underWay"], tally["parkedAgain"]) == (1, 0, {"": 1})
    assert (result.exit_code, "under way: 0" in result.stderr) == (4, True)


def test_waiting_tells_only_what_changes(shell: Shell) -> None:
    """A long wait does not fill the screen with the same line."""
    shell.lie(parked(1))
    send, looks = shell.store.send, iter(range(3))

    def stay(queue: str, messages: list[ParkedMessage]) -> list[int]:
        shell.store.lying.setdefault(RETRIES, []).extend(messages)
        return send(queue, messages)

    def wait(_: float) -> None:
        if next(looks) == 2:
            shell.store.remove(RETRIES, 1)

    shell.patch.setattr(shell.store, "send", stay)
    shell.patch.setattr(shell.store.clock, "sleep", wait)
    result = shell("parked", "replay", *WHY, "--yes", "--wait")
    assert [line for line in result.stderr.splitlines() if "under way" in line] == [
        "under way: 1",
        "under way: 0",
    ]
    assert (result.exit_code, rows(result)[0]["confirmed"]) == (0, 1)


def test_the_same_command_twice_at_once_is_refused(shell: Shell) -> None:
    """The second would put away the plan that the first is about to apply."""
    shell.lie(*three())
    send, codes = shell.store.send, list[int]()

    def meanwhile(queue: str, messages: list[ParkedMessage]) -> list[int]:
        codes.append(shell("parked", "replay", *WHY, "--yes").exit_code)
        return send(queue, messages)

    shell.patch.setattr(shell.store, "send", meanwhile)
    assert (shell("parked", "replay", *WHY, "--yes").exit_code, set(codes)) == (0, {5})
    assert numbers(shell.store) == [1, 2, 9]


def test_nobody_is_asked_in_a_pipe(shell: Shell) -> None:
    """Without --yes a script changes nothing."""
    shell.lie(*three())
    result = shell("parked", "replay", *WHY, stdin="y\n")
    assert (result.exit_code, shell.store.sent) == (5, [])
    assert "nobody can be asked here: say --yes" in result.stderr
    assert shell("parked", "discard", "--reason", "Refused", *WHY, stdin="1\n").exit_code == 5


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(("answer", "code", "sent"), [("y\n", 0, [1, 2, 9]), ("n\n", 5, [])])
def test_a_person_is_asked(shell: Shell, answer: str, code: int, sent: list[int]) -> None:
    """What will be done is shown, and done only when it is wanted."""
    shell.lie(*three())
    result = shell("parked", "replay", *WHY, stdin=answer)
    assert (result.exit_code, numbers(shell.store)) == (code, sent)


def test_partner_center_is_asked_first(shell: Shell) -> None:
    """Where this machine has a credential, a replay that could only fail is refused, unless insisted on."""
    shell.partner()
    shell.lie(*three())
    shell.client.error = TokenError("the token endpoint refused")
    result = shell("parked", "replay", *WHY, "--yes")
    assert (result.exit_code, shell.store.sent) == (5, [])
    assert "Partner Center would refuse: the token endpoint refused" in result.stderr
    assert shell("parked", "replay", *WHY, "--yes", "--no-check").exit_code == 0
    shell.client.error = None
    shell.store.lying[REJECTIONS].append(parked(12))
    assert shell("parked", "replay", *WHY, "--yes").exit_code == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["plan", "--reason", "Refused"], "give a plan or filters, not both"),
        (["absent"], "absent does not exist"),
        (["release.plan"], "is a plan to release, not to replay"),
        (["--rate", "fast"], "such as 10/s or 30/m"),
        (["--rate", "1/h"], "such as 10/s or 30/m"),
        (["--rate", "0"], "such as 10/s or 30/m"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_replay_is_told(shell: Shell, options: list[str], told: str) -> None:
    """What cannot be meant is a wrong call."""
    shell.lie(parked(1, place=RETRIES, state=State.SCHEDULED))
    at = built(shell.store)
    at.plan(Path("release.plan"), Action.RELEASE, at.messages([RETRIES]), Selection(), told="")
    result = shell("parked", "replay", *options, *WHY, "--yes")
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.replace("│", " ").split())


def test_a_replay_needs_a_reason(shell: Shell) -> None:
    """An audit trail without a why is none."""
    assert shell("parked", "replay", "--yes").exit_code == 2
    assert "say why" in shell("parked", "replay", "--yes", "--why", " ").stderr


def test_a_changed_plan_is_refused(shell: Shell) -> None:
    """A plan that somebody edited after it was begun is no plan any more; half a plan never was one."""
    shell.lie(*three())
    shell("parked", "plan", "-o", "plan")
    shell.store.too_large = {1, 2, 9}
    shell("parked", "replay", "plan", *WHY, "--yes")
    lines = Path("plan").read_text().splitlines(keepends=True)
    Path("plan").write_text("".join(lines[:-1]))
    result = shell("parked", "replay", "plan", *WHY, "--yes")
    assert (result.exit_code, "not the journal of this plan" in result.stderr) == (5, True)
    Path("plan").write_text("{")
    assert shell("parked", "replay", "plan", *WHY, "--yes").exit_code == 5


def test_missing_settings_are_told(shell: Shell) -> None:
    """A command demands its own settings and names them."""
    shell.patch.delenv("ServiceBus")
    result = shell("parked", "list")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "ServiceBus__fullyQualifiedNamespace" in result.stderr
    assert "PARTNER_TENANT_ID is missing" in shell("status", str(CUSTOMER)).stderr


def test_a_broker_out_of_reach_is_told(shell: Shell) -> None:
    """In one line, without a traceback; what was opened is closed."""
    shell.store.errors["open"] = [ServiceBusConnectionError(message="cut")]
    result = shell("parked", "list")
    assert (result.exit_code, result.stderr) == (1, "Service Bus failed: ServiceBusConnectionError: cut\n")
    assert shell.store.closed


def test_an_sdk_that_is_another_inside_is_told(shell: Shell) -> None:
    """With what to do about it, and before anything is looked at."""

    def refuse(_: object) -> None:
        raise DeploymentError("azure-servicebus 9 is another inside", "Install the other.")

    shell.patch.setattr(toolbox, "operations", refuse)
    result = shell("parked", "list")
    assert (result.exit_code, result.stderr) == (
        1,
        "azure-servicebus 9 is another inside. Install the other.\n",
    )


def test_retries_are_released(shell: Shell) -> None:
    """After an outage, what is scheduled is tried now; by its reason if only some are meant."""
    reason = {"mcaReason": "Throttled"}
    shell.lie(
        parked(1, place=RETRIES, state=State.SCHEDULED, properties=reason),
        parked(2, place=RETRIES, state=State.SCHEDULED),
        parked(3),
    )
    result = shell("retries", "release", "--reason", "throttled", *WHY, "--yes", "--wait")
    assert (result.exit_code, numbers(shell.store), shell.store.cancelled) == (0, [1], [1])


def test_discarding_keeps_a_copy(shell: Shell) -> None:
    """What is removed can be brought back from the file that is named."""
    shell.lie(*three())
    shell.store.errors["complete"] = [ServiceBusConnectionError(message="cut")]
    assert shell("parked", "discard", "--from", "rejections", *WHY, "--yes").exit_code == 1
    result = shell("parked", "discard", "--from", "rejections", *WHY, "--yes")
    assert (result.exit_code, shell.store.sent) == (0, [])
    assert shell.store.lying[REJECTIONS] == []
    [kept] = shell.state.glob("discarded-*.jsonl")
    assert (len(kept.read_text().splitlines()), kept.stat().st_mode & 0o777) == (2, 0o600)
    assert f"kept in {kept}" in result.stderr
    assert shell("parked", "import", str(kept), *WHY, "--yes").exit_code == 3
    assert shell("parked", "import", str(kept), *WHY, "--yes", "--restore").exit_code == 0
    assert numbers(shell.store) == [1, 2]
    assert json.loads((shell.state / "audit.jsonl").read_text().splitlines()[-1])["action"] == "restore"


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(("typed", "code", "left"), [("1", 0, 0), ("y", 5, 1)])
def test_discarding_asks_for_the_count(shell: Shell, typed: str, code: int, left: int) -> None:
    """A yes is typed too easily for what cannot be undone."""
    shell.lie(parked())
    result = shell("parked", "discard", "--reason", "Refused", *WHY, stdin=f"{typed}\n")
    assert (result.exit_code, len(shell.store.lying[REJECTIONS])) == (code, left)
    # Nobody is left with a file of personal data for having said no.
    assert len(list(shell.state.glob("discarded-*"))) == 1 - left


def test_discarding_everything_needs_a_filter(shell: Shell) -> None:
    """Nobody empties all queues by leaving something out."""
    result = shell("parked", "discard", *WHY, "--yes")
    assert (result.exit_code, "give at least one filter" in result.stderr) == (2, True)


def export(shell: Shell, **changes: object) -> Path:
    """Export what waits, and mend its body."""
    assert shell("parked", "export", "-o", "mend").exit_code == 0
    lines = []
    for line in Path("mend").read_text().splitlines():
        record = json.loads(line)
        record["body"] = json.dumps(json.loads(record["body"]) | changes)
        record["properties"]["source"] = {"type": "string", "value": "hand"}
        lines.append(json.dumps(record))
    Path("mend").write_text("\n".join(lines))
    return Path("mend")


def test_a_mended_event_takes_the_place_of_its_message(shell: Shell) -> None:
    """What changed is told by field; the mended event is sent and the original removed."""
    shell.lie(parked(1, properties={"mcaReplay": 9}))
    file = export(shell, dateAgreed="2026-02-28", type=None)
    result = shell("parked", "import", str(file), *WHY, "--yes")
    assert result.exit_code == 0
    assert "agreement-rejections, 1: changed dateAgreed\n" in result.stderr
    assert "changed property source" in result.stderr
    [(queue, copy)] = shell.store.sent
    assert (queue, json.loads(copy.body)["dateAgreed"]) == ("agreement-acceptances", "2026-02-28")
    assert copy.text("source") == "hand"
    assert shell.store.lying[REJECTIONS] == []


def test_what_changed_can_be_revealed(shell: Shell) -> None:
    """With --reveal the values are shown beside the fields."""
    shell.lie(parked(1))
    result = shell("parked", "import", str(export(shell, dateAgreed="2026-02-28")), *WHY, "--yes", "--reveal")
    assert 'changed dateAgreed: "2026-03-01T12:00:00Z" → "2026-02-28"' in result.stderr


def test_any_character_survives_the_file(shell: Shell) -> None:
    """Also one that some take for the end of a line."""
    contact = {**fakes.CONTACT, "lastName": "O\u2028Brien"}
    shell.lie(
        parked(1, body=json.dumps({**fakes.given(), "primaryContact": contact}, ensure_ascii=False).encode())
    )
    assert shell("parked", "export", "-o", "kept").exit_code == 0
    assert shell("parked", "import", "kept", *WHY, "--yes").exit_code == 0
    assert "O\u2028Brien" in shell.store.sent[0][1].body.decode()


def test_an_unreadable_original_is_replaced_whole(shell: Shell) -> None:
    """Where the original was no JSON, the difference is the body."""
    shell.lie(parked(1, body=b"?"))
    record = to_record(parked(1, body=b"?")) | {"body": fakes.body().decode()}
    Path("mend").write_text(json.dumps(record))
    result = shell("parked", "import", "mend", *WHY, "--yes")
    assert (result.exit_code, "changed the body" in result.stderr) == (0, True)


@pytest.mark.parametrize(
    ("change", "told"),
    [({"dateAgreed": "soon"}, "FieldInvalid dateAgreed"), ({"primaryContact": None}, "FieldMissing")],
    ids=["invalid", "missing"],
)
def test_an_event_that_is_not_mended_is_not_sent(shell: Shell, change: dict[str, object], told: str) -> None:
    """One that is not valid stops all, named by its line and field."""
    shell.lie(parked(1), parked(2))
    file = export(shell, **change)
    result = shell("parked", "import", str(file), *WHY, "--yes")
    assert (result.exit_code, shell.store.sent) == (1, [])
    assert f"mend, line 1: {told}" in result.stderr


def test_what_is_no_export_is_not_sent(shell: Shell) -> None:
    """Nor is what cannot be read at all."""
    Path("mend").write_text("{}")
    assert "line 1: not a line of an export" in shell("parked", "import", "mend", *WHY, "--yes").stderr
    assert shell("parked", "import", "absent", *WHY, "--yes").exit_code == 1
    shell.lie(parked(1))
    Path("mend").unlink()
    record = json.loads(export(shell).read_text())
    for wrong in (
        {"properties": {"a": {"type": "int", "value": 2**31}}},
        {"properties": {"a": {"type": "boolean", "value": "yes"}}},
        {"subject": 5},
    ):
        Path("mend").write_text(json.dumps(record | wrong))
        result = shell("parked", "import", "mend", *WHY, "--yes")
        assert (result.exit_code, "line 1: not a line of an export" in result.stderr) == (1, True)
    assert shell.store.sent == []
    Path("mend").write_bytes(b"\xda\xff")
    result = shell("parked", "import", "mend", *WHY, "--yes")
    assert (result.exit_code, result.stderr) == (1, "mend: not UTF-8: nothing was sent\n")


def test_a_message_that_is_gone_is_told_apart(shell: Shell) -> None:
    """It is not sent by an import, and is by --restore; what lies there under its number is left alone."""
    shell.lie(parked(1), parked(2))
    file = export(shell)
    shell.store.lying[REJECTIONS][1] = parked(2, body=b"other")
    result = shell("parked", "import", str(file), *WHY, "--yes")
    assert (result.exit_code, numbers(shell.store)) == (4, [1])
    assert "1 are gone or changed" in result.stderr
    shell.store.too_large = {2}
    assert shell("parked", "import", str(file), *WHY, "--yes", "--restore").exit_code == 4


@pytest.mark.parametrize("restore", [[], ["--restore"]])
def test_a_retry_that_is_scheduled_is_not_doubled(shell: Shell, restore: list[str]) -> None:
    """It comes by itself: beside its mended copy two different events would be confirmed."""
    shell.lie(parked(1, place=RETRIES, state=State.SCHEDULED), parked(2))
    shell("parked", "export", "--from", "retries", "--from", "rejections", "-o", "mend")
    result = shell("parked", "import", "mend", *WHY, "--yes", *restore)
    assert (result.exit_code, numbers(shell.store)) == (4, [2])
    assert "1 cannot be replaced where they lie, and are not sent" in result.stderr
    result = shell("parked", "import", "mend", *WHY, "--yes", *restore)
    assert (result.exit_code, numbers(shell.store)) == (4, [2])


def test_a_file_is_sent_once(shell: Shell) -> None:
    """However often it is given: neither what replaced its message nor what was restored."""
    shell.lie(parked(1), parked(2))
    file = export(shell)
    shell.store.remove(REJECTIONS, 2)
    restore = ["parked", "import", str(file), *WHY, "--yes", "--restore"]
    assert (shell(*restore).exit_code, numbers(shell.store)) == (0, [1, 2])
    result = shell(*restore)
    assert (result.exit_code, numbers(shell.store)) == (3, [1, 2])
    assert "they were sent before" in result.stderr


def test_two_lines_for_one_message_are_refused(shell: Shell) -> None:
    """One of the two would be lost: each needs a number of its own."""
    shell.lie(parked(1))
    file = export(shell)
    file.write_text(f"{file.read_text()}\n{file.read_text()}\n")
    result = shell("parked", "import", str(file), *WHY, "--yes")
    assert (result.exit_code, shell.store.sent) == (1, [])
    assert "line 2: the sequenceNumber of line 1" in result.stderr


@pytest.mark.usefixtures("terminal")
def test_restoring_is_asked_for(shell: Shell) -> None:
    """An event is not sent anew without a yes."""
    Path("mend").write_text(json.dumps(to_record(parked(1))))
    result = shell("parked", "import", "mend", *WHY, "--restore", stdin="n\n")
    assert (result.exit_code, shell.store.sent) == (5, [])


def test_a_plan_that_was_begun_is_not_overwritten(shell: Shell) -> None:
    """What its journal tells would be lost with it."""
    shell.lie(*three())
    assert shell("parked", "plan", "-o", "plan").exit_code == 0
    assert shell("parked", "plan", "-o", "plan").exit_code == 0
    shell("parked", "replay", "plan", *WHY, "--yes")
    result = shell("parked", "plan", "-o", "plan")
    assert (result.exit_code, "plan was begun" in result.stderr) == (5, True)


@pytest.mark.usefixtures("terminal")
def test_a_plan_to_which_somebody_said_no_is_not_in_the_way(shell: Shell) -> None:
    """Nothing was begun: the next one may have its name, and can be applied."""
    shell.lie(*three())
    shell("parked", "plan", "-o", "plan")
    assert shell("parked", "replay", "plan", *WHY, stdin="n\n").exit_code == 5
    assert shell("parked", "plan", "--limit", "1", "-o", "plan").exit_code == 0
    assert shell("parked", "replay", "plan", *WHY, "--yes").exit_code == 0
    assert len(shell.store.sent) == 1


def test_a_journal_without_its_plan_is_kept(shell: Shell) -> None:
    """It tells what was sent, wherever its plan is."""
    shell.lie(*three())
    Path("plan.journal").write_text("told")
    assert shell("parked", "plan", "-o", "plan").exit_code == 5
    assert Path("plan.journal").read_text() == "told"


def test_a_plan_overwrites_nothing_but_a_plan(shell: Shell) -> None:
    """A file that is there may be the only copy of something; and one that cannot be written is named."""
    shell.lie(*three())
    Path("taken").write_text("x")
    result = shell("parked", "plan", "-o", "taken")
    assert (result.exit_code, result.stderr) == (5, "taken is there, and is no plan: name another file\n")
    assert Path("taken").read_text() == "x"
    result = shell("parked", "plan", "-o", "nowhere/plan")
    assert (result.exit_code, result.stderr) == (1, "nowhere/plan: No such file or directory\n")


def test_half_an_export_is_not_left(shell: Shell) -> None:
    """It would look whole, and the same command would not write it again."""
    shell.lie(parked(1))

    def peek(place: Place, first: int = 1) -> Iterator[ParkedMessage]:
        yield parked(first)
        raise ServiceBusConnectionError(message="cut")

    shell.patch.setattr(shell.store, "peek", peek)
    assert shell("parked", "export", "-o", "mend").exit_code == 1
    assert not Path("mend").exists()


def test_an_export_overwrites_nothing(shell: Shell) -> None:
    """A file that is there may be the only copy of something."""
    shell.lie(parked(1))
    Path("taken").write_text("x")
    result = shell("parked", "export", "-o", "taken")
    assert (result.exit_code, Path("taken").read_text()) == (1, "x")


def test_status_tells_whether_a_customer_is_covered(shell: Shell) -> None:
    """Agreements newest first, direct acceptance, and what waits."""
    shell.partner()
    older = fakes.agreement(dateAgreed="2025-01-01T00:00:00")
    shell.client.recorded = [older, fakes.agreement()]
    shell.lie(parked(1), parked(2, place=DEAD, properties={"mcaReason": None, "mcaOrigin": None}))
    result = shell("status", str(CUSTOMER))
    lines = result.stdout.splitlines()
    assert lines[:3] == ["covered", "accepted directly at Microsoft: no", "agreements on record: 2"]
    assert [line.split()[0] for line in lines[3:5]] == ["2026-03-01", "2025-01-01"]
    assert lines[5] == "waiting: 2"
    assert lines[6].startswith("  agreement-rejections, 1: Refused")
    assert lines[7].startswith("  agreement-acceptances/$DeadLetterQueue, 2: active")
    assert result.exit_code == 0
    assert not [planted for planted in PLANTED if planted in result.output]
    assert "Zoraida Quintanilla <zq@planted.example>" in shell("status", str(CUSTOMER), "--reveal").stdout


def test_status_prints_json(shell: Shell) -> None:
    """For a script: one object."""
    shell.partner()
    shell.client.recorded, shell.client.direct = [fakes.agreement()], True
    shell.lie(parked(1))
    [told] = rows(shell("status", str(CUSTOMER), "--json", "--reveal"))
    assert (told["covered"], told["acceptedDirectly"]) == (True, True)
    assert told["agreements"] == [
        {
            "dateAgreed": "2026-03-01T12:00:00+00:00",
            "type": fakes.TYPE,
            "templateId": "",
            "primaryContact": fakes.CONTACT,
        }
    ]
    assert isinstance(told["waiting"], list)
    assert told["waiting"][0]["sequenceNumber"] == 1


def test_a_customer_that_is_not_covered_has_an_exit_code(shell: Shell) -> None:
    """A script sees it without reading."""
    shell.partner()
    result = shell("status", str(CUSTOMER))
    assert (result.exit_code, result.stdout.splitlines()[0]) == (3, "not covered: no agreement is on record")
    shell.client.direct = True
    assert shell("status", str(CUSTOMER)).exit_code == 0
    shell.client.error = TokenError("the token endpoint refused")
    result = shell("status", str(CUSTOMER))
    assert (result.exit_code, result.stderr) == (1, "the token endpoint refused\n")


def test_ctrl_c_asks_politely_once() -> None:
    """The first ends after the batch in hand, the second at once; afterwards it is as it was."""
    before = signal.getsignal(signal.SIGINT)
    with output.stopping() as stopping:
        assert not stopping()
        signal.raise_signal(signal.SIGINT)
        assert stopping()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("seconds", "age"),
    [(0, "0s"), (59, "59s"), (60, "1m"), (7200, "2h"), (86400 * 3, "3d"), (-7200, "+2h"), (-5, "+5s")],
)
def test_an_age_is_told_in_its_largest_unit(seconds: int, age: str) -> None:
    """What is to come has a plus."""
    assert output.age(NOW - timedelta(seconds=seconds), NOW) == age


@pytest.mark.parametrize(("text", "rate"), [(None, None), ("10/s", 10), ("30/m", 0.5), ("2", 2)])
def test_a_rate_has_a_unit(text: str | None, rate: float | None) -> None:
    """A second, or a minute."""
    assert applying.rate(text) == rate


@pytest.mark.parametrize(
    ("event_id", "shown"),
    [
        ("94E4E214-6b06-4fb7-96d1-94d559f9b47f", True),
        ("order-1234", True),
        ("crm:42/7", True),
        ("tania.carr", False),
        ("t4@contoso.example", False),
        ("Tania Carr 1", False),
        ("tania.carr1985", False),
        ("carr-7", False),
        ("Carr7", False),
        ("+34600700800", False),
        ("600-700-800", False),
        ("SO-1234", True),
        ("jo-1234", False),
        ("Event_0007", True),
        ("507f1f77bcf86cd799439011", True),
        ("agreement-acceptances/9/2026-11-21T11:28:18.985Z", True),
        ("", False),
    ],
)
def test_an_id_that_may_be_a_name_is_masked(event_id: str, shown: bool) -> None:
    """An id that somebody numbered is shown, a word or an address is not."""
    assert masking.masked_id(event_id) == (event_id if shown else masking.HIDDEN)


def test_an_id_of_many_dashes_is_read_at_once() -> None:
    """However a stranger makes it: each character is looked at a few times, and not in every combination."""
    assert masking.masked_id(f"1{'-' * 10_000}!") == masking.HIDDEN


@pytest.mark.parametrize("command", [["parked", "-h"], ["retries", "-h"], ["parked", "replay", "-h"]])
def test_help_teaches(shell: Shell, command: list[str]) -> None:
    """Every group and command tells what it does; those that change something, which roles they need."""
    assert shell(*command).exit_code == 0
