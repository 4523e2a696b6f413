import json
import runpy
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.abc import MetaPathFinder
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agreements import asyncapi, cli, events, outcome_events
from agreements.cli.app import app
from tests import fakes
from tests.fakes import PLANTED

INVALID = fakes.body(customerTenantId="zq@planted.example")
FAULT = "FieldInvalid customerTenantId must be a GUID: the customer's Microsoft ID"
LATER = "Correct dateAgreed: a customer cannot have agreed later than now."
ADVICE = "Correct the field that is named and send the event again."


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Run commands in a directory with a good event, a bad one and one that nobody can read."""
    monkeypatch.chdir(tmp_path)
    Path("good.json").write_bytes(fakes.body())
    Path("bad.json").write_bytes(INVALID)
    Path("unreadable.bin").write_bytes(b"\xff")
    return CliRunner()


@pytest.mark.parametrize(
    ("files", "output", "code"),
    [
        (["good.json"], "good.json: valid\n", 0),
        (["bad.json"], f"bad.json: {FAULT}. {ADVICE}\n", 1),
        (
            ["unreadable.bin"],
            "unreadable.bin: NotJson. Send the event as one JSON object in UTF-8.\n",
            1,
        ),
        (["good.json", "good.json"], "good.json: valid\ngood.json: valid\n", 0),
        (["good.json", "bad.json"], f"good.json: valid\nbad.json: {FAULT}. {ADVICE}\n", 1),
        (["bad.json", "good.json"], f"bad.json: {FAULT}. {ADVICE}\ngood.json: valid\n", 1),
    ],
    ids=["valid", "invalid", "unreadable", "all-valid", "last-invalid", "first-invalid"],
)
def test_validate_tells_each_file(run: CliRunner, files: list[str], output: str, code: int) -> None:
    """One line per file, in their order; the exit code is 0 only if every one is valid."""
    result = run.invoke(app, ["validate", *files])
    assert (result.stdout, result.stderr, result.exit_code) == (output, "", code)


@pytest.mark.parametrize(
    ("body", "output", "code"),
    [(fakes.body(), "-: valid\n", 0), (INVALID, f"-: {FAULT}. {ADVICE}\n", 1)],
    ids=["valid", "invalid"],
)
def test_validate_reads_standard_input(run: CliRunner, body: bytes, output: str, code: int) -> None:
    """A dash stands for standard input, read as bytes."""
    result = run.invoke(app, ["validate", "-"], input=body)
    assert (result.stdout, result.exit_code) == (output, code)


@pytest.mark.parametrize(
    ("date", "output", "code"),
    [
        ("9999-12-31", f"-: DateInFuture dateAgreed. {LATER}\n", 1),
        (str(datetime.now(UTC).date()), "-: valid\n", 0),
    ],
    ids=["ahead", "today"],
)
def test_validate_looks_at_the_clock(run: CliRunner, date: str, output: str, code: int) -> None:
    """A date that would be refused when it arrives is a fault before it is sent."""
    result = run.invoke(app, ["validate", "-"], input=fakes.body(dateAgreed=date))
    assert (result.stdout, result.exit_code) == (output, code)


def test_validate_takes_the_content_type(run: CliRunner) -> None:
    """What a message is called decides how it is read, here as there."""
    result = run.invoke(app, ["validate", "good.json", "--content-type", "application/cloudevents+json"])
    assert (result.stdout.split()[1], result.exit_code) == ("CloudEventInvalid", 1)


def test_validate_prints_json_lines(run: CliRunner) -> None:
    """With --json each file is one object on a line of its own, reason and field apart."""
    result = run.invoke(app, ["validate", "--json", "good.json", "bad.json"])
    good, bad = result.stdout.splitlines()
    assert json.loads(good) == {"file": "good.json", "valid": True}
    assert json.loads(bad) == {
        "file": "bad.json",
        "valid": False,
        "faults": [
            {"reason": "FieldInvalid", "field": "customerTenantId", "detail": FAULT, "advice": ADVICE}
        ],
    }
    assert result.exit_code == 1


def test_validate_tells_every_fault(run: CliRunner) -> None:
    """Who makes three mistakes learns of them in one go: a line each, or all in one JSON object."""
    body = fakes.body(dateAgreed=None, type="other", primaryContact={**fakes.CONTACT, "email": "nobody"})
    named = ["dateAgreed", "primaryContact.email", "type"]
    lines = run.invoke(app, ["validate", "-"], input=body).stdout.splitlines()
    assert [line.split()[2].rstrip(".") for line in lines] == named
    found = json.loads(run.invoke(app, ["validate", "--json", "-"], input=body).stdout)
    assert [fault["field"] for fault in found["faults"]] == named


def test_validate_prints_long_lines_whole(run: CliRunner) -> None:
    """A line is never folded or marked up, so that it can be searched and cut."""
    name = "[red]" + "x" * 150 + ".json"
    Path(name).write_bytes(fakes.body())
    result = run.invoke(app, ["validate", name])
    assert result.stdout == f"{name}: valid\n"


@pytest.mark.parametrize("name", ["missing.json", "."], ids=["missing", "directory"])
def test_validate_cannot_read_a_file(run: CliRunner, name: str) -> None:
    """A file that cannot be read is a wrong call: exit code 2, said on standard error alone."""
    result = run.invoke(app, ["validate", "good.json", name])
    assert (result.stdout, result.exit_code) == ("", 2)
    assert f"{name}: " in result.stderr


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_validate_shows_no_value(run: CliRunner, options: list[str]) -> None:
    """Whoever reads over a shoulder, or in a build log, sees fields and never their values."""
    contact = {**fakes.CONTACT, "email": "no address of zq@planted.example"}
    Path("event.json").write_bytes(fakes.body(primaryContact=contact))
    result = run.invoke(app, ["validate", *options, "event.json", "bad.json"])
    assert not [planted for planted in PLANTED if planted in result.output]
    assert result.exit_code == 1


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_commands_have_help(run: CliRunner, option: str) -> None:
    """Both spellings of help work and name the commands."""
    result = run.invoke(app, [option])
    assert result.exit_code == 0
    assert "validate" in result.stdout


def test_without_a_command_help_is_shown(run: CliRunner) -> None:
    """Who gives no command is told which there are; that is a wrong call."""
    result = run.invoke(app, [])
    assert result.exit_code == 2
    assert "validate" in result.output


@pytest.mark.usefixtures("run")
def test_main_runs_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The console script runs the app with the arguments of the process."""
    monkeypatch.setattr(sys, "argv", ["agreements", "validate", "bad.json"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 1


@pytest.mark.usefixtures("run")
def test_the_package_runs_as_a_module(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``python -m agreements`` is the same as the console script."""
    monkeypatch.setattr(sys, "argv", ["agreements", "validate", "good.json"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("agreements", run_name="__main__")
    assert (caught.value.code, capsys.readouterr().out) == (0, "good.json: valid\n")


class Missing(MetaPathFinder):
    """Finds that a module is not installed."""

    def __init__(self, missing: str) -> None:
        self.missing = missing

    def find_spec(self, fullname: str, *_: object) -> None:
        """Fail as Python does when nobody has found the module; leave every other to the next finder."""
        if fullname == self.missing:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def uninstall(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Make a module as good as not installed, and have the commands imported anew."""
    for module in list(sys.modules):
        if module.startswith("agreements.cli.") or module.partition(".")[0] == name:
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.delattr(cli, "contract")
    monkeypatch.setattr(sys, "meta_path", [Missing(name), *sys.meta_path])


@pytest.mark.parametrize("name", ["typer", "rich"])
def test_main_says_what_to_install(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Where the extra of the command line is not installed, one line says how to get it."""
    uninstall(monkeypatch, name)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == "the command line needs its extra: pip install 'agreements[cli]'"


def test_main_does_not_hide_another_missing_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing for any other reason is a fault of the installation and goes up."""
    uninstall(monkeypatch, "agreements.cli.app")
    with pytest.raises(ModuleNotFoundError, match=r"agreements\.cli\.app"):
        cli.main()


def test_an_interrupt_while_loading_ends_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading takes a second or two, and whoever changes their mind then gets no traceback."""

    class Interrupted:
        def find_spec(self, *_: object) -> None:
            raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "agreements.cli.app")
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == cli.INTERRUPTED


@pytest.mark.parametrize(
    ("which", "document"),
    [
        ([], events.json_schema),
        (["acceptance"], events.json_schema),
        (["outcome"], outcome_events.json_schema),
        (["asyncapi"], asyncapi.document),
    ],
    ids=["default", "acceptance", "outcome", "asyncapi"],
)
def test_schema_prints_each_part_of_the_contract(
    run: CliRunner, which: list[str], document: Callable[[], dict[str, object]]
) -> None:
    """The document goes to standard output, ready to be piped into a file; the acceptance event's first."""
    result = run.invoke(app, ["schema", *which])
    assert (result.exit_code, json.loads(result.stdout)) == (0, document())
