"""Everything together, as a newcomer starts it: programs, signals and files, nothing in process."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests

from local import control
from tests.stacks import ROOT, Stack, started

SAMPLES_ACCOUNT = {
    "published": 9,
    "confirmed": 6,
    "recovered": 1,
    "duplicates": 1,
    "rejections": {"CustomerUnknown": 1, "NotJson": 1},
    "retriesPending": 0,
    "ledger": 6,
    "told": {"confirmed": 5, "delayed": 4, "duplicate": 1, "recovered": 1, "rejected": 2},
}


class Started(Stack):
    """A running stack, and its steps as they are told."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack.process, stack.ready_file)
        self.told: list[str] = []

    def wait_for(self, text: str) -> None:
        """Read what is told until a line has this text."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.told.append(line)
            if text in line:
                return
        pytest.fail(f"{text!r} was never told: {''.join(self.told)}")

    def end(self) -> tuple[str, int]:
        """Read to the end; return standard output and the exit code."""
        out, told = self.process.communicate(timeout=300)
        self.told.append(told)
        return out, self.process.returncode


@contextmanager
def stack(tmp_path: Path, *arguments: str, **environ: str) -> Iterator[Started]:
    with started(tmp_path, *arguments, told=subprocess.PIPE, **environ) as running:
        yield Started(running)


def assert_gone(pids: Iterable[int], seconds: float = 60) -> None:
    """Wait until none of the processes exists: they are not ours to wait for in any other way."""
    deadline = time.monotonic() + seconds
    while left := {pid for pid in pids if _exists(pid)}:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.01)


def _exists(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_the_samples_end_as_they_are_named(tmp_path: Path) -> None:
    """Every sample ends where its name says, all are accounted for, and nothing is left running."""
    with stack(tmp_path, "--exit-when-idle", "--json") as running:
        running.wait_for("published")
        processes = family(running)
        out, code = running.end()
    assert json.loads(out) == SAMPLES_ACCOUNT
    assert code == 0
    told = "".join(running.told)
    assert re.search(
        r"08-unreadable +told agreements\.acceptance\.rejected\.v1, event 08-unreadable, NotJson", told
    )
    assert_gone(processes)
    assert not running.ready_file.exists()


def test_a_killed_functions_host_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """After kill -9 of the host in the middle of the samples each event still ends in exactly one place."""
    with stack(tmp_path, "--exit-when-idle", "--json") as running:
        for answered in ("05-throttled", "07-cut-after-it-was-recorded"):
            running.wait_for(f"{answered} ")
            running.kill("functions_host")
            running.wait_for("functions_host ended (signal 9) and is started again")
        out, code = running.end()
    found = json.loads(out)
    assert code == 0, "".join(running.told) + out
    assert (
        found["published"]
        == found["confirmed"] + found["duplicates"] + sum(found["rejections"].values())
        == 9
    )
    assert found["ledger"] == 6
    # Each event's end is told once, however often it was delivered.
    assert sum(count for what, count in found["told"].items() if what != "delayed") == 9


def test_a_part_killed_while_it_starts_is_started_again(tmp_path: Path) -> None:
    """However soon after its start a part is killed, the stack goes on, and so do the events."""
    with stack(tmp_path, "--exit-when-idle", "--json") as running:
        running.wait_for("published")
        before = children(running.process.pid)
        running.kill("functions_host")
        for _ in range(4):
            running.wait_for("functions_host ended (signal 9) and is started again")
            os.kill(newcomer(running.process.pid, before), signal.SIGKILL)
        running.wait_for("functions_host ended (signal 9) and is started again")
        out, code = running.end()
    assert code == 0, "".join(running.told) + out
    assert json.loads(out)["published"] == 9


def children(pid: int) -> set[int]:
    """Return the processes that one has started (Linux)."""
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def family(running: Stack) -> set[int]:
    """Return the parts of a stack, and what they have started."""
    parts = set(running.pids.values())
    return parts.union(*map(children, parts))


def newcomer(pid: int, known: set[int]) -> int:
    """Wait for a child that was not there before; add it to those known."""
    while not (new := children(pid) - known):
        time.sleep(0.005)
    [child] = new
    known.add(child)
    return child


def test_ctrl_c_ends_everything(tmp_path: Path) -> None:
    """The stack stays up after the last event and says where to look; Ctrl-C ends all of it, with 0."""
    with stack(tmp_path) as running:
        running.wait_for("read what publishers were told with make look AT=agreement-outcomes")
        running.wait_for("the stack stays up")
        processes = family(running)
        running.process.send_signal(signal.SIGINT)
        out, code = running.end()
    assert "make look AT='agreement-duplicates'" in out
    assert code == 0
    assert_gone(processes)


def test_no_part_outlives_a_killed_stack(tmp_path: Path) -> None:
    """A stack that is killed takes its parts with it, and the worker of the Functions host."""
    with stack(tmp_path) as running:
        running.wait_for("published")
        processes = family(running)
        running.process.kill()
    assert len(processes) == 4
    assert_gone(processes)


def test_events_of_ones_own_are_accounted_for(tmp_path: Path) -> None:
    """Each line of a file is an event, rubbish too; empty lines are not."""
    good = json.loads((ROOT / "local" / "samples" / "01-new-customer.json").read_text())
    events = tmp_path / "events.jsonl"
    events.write_text("\n".join([json.dumps(good), "", "rubbish", json.dumps(good), "[]"]) + "\n")
    with stack(tmp_path, "--events", str(events), "--exit-when-idle", "--json") as running:
        out, code = running.end()
    assert json.loads(out) == SAMPLES_ACCOUNT | {
        "published": 4,
        "confirmed": 1,
        "recovered": 0,
        "rejections": {"Empty": 1, "NotJson": 1},
        "ledger": 1,
        "told": {"confirmed": 1, "duplicate": 1, "rejected": 2},
    }
    assert code == 0


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    """A missing file is named, and nothing is started."""
    with stack(tmp_path, "--events", str(tmp_path / "none.jsonl")) as running:
        out, code = running.end()
    assert (out, code) == ("", 2)
    assert running.told == [f"{tmp_path / 'none.jsonl'}: No such file or directory\n"]


def test_a_wrong_setting_is_the_last_word(tmp_path: Path) -> None:
    """When the app cannot start, the stack ends with 1, names the setting and shows no value."""
    with stack(tmp_path, RETRY_BASE_SECONDS="planted") as running:
        _, code = running.end()
    told = "".join(running.told)
    assert code == 1
    assert "RETRY_BASE_SECONDS must be seconds above 0" in told
    assert told.endswith("functions_host did not start: its own words are above\n")
    assert "planted" not in told


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_a_person_can_send_one_more_and_look_where_it_went(tmp_path: Path) -> None:
    """An event sent to the running stack is told of, and is found by the command that its row names."""
    nothing, event = tmp_path / "none.jsonl", tmp_path / "bad.json"
    nothing.touch()
    event.write_text("{}")
    with stack(tmp_path, "--events", str(nothing)) as running:
        running.wait_for("the stack stays up")
        ready = ("--ready-file", str(running.ready_file))
        sent = run("local.send", str(event), *ready)
        running.wait_for("Rejected: FieldMissing")
        found = run("local.look", "agreement-rejections", *ready)
        dead = run("local.look", "agreement-acceptances/$DeadLetterQueue", *ready)
        ledger = run("local.look", "ledger", *ready)
        outcomes = run("local.look", "agreement-outcomes", *ready)
        nowhere = run("local.look", "no-such-queue", *ready)
    assert sent.returncode == 0
    [parked] = [json.loads(line) for line in found.stdout.splitlines()]
    assert parked["correlation_id"] in sent.stdout
    assert (parked["message_id"], parked["reason"]) == ("bad", "FieldMissing")
    [outcome] = [json.loads(line) for line in outcomes.stdout.splitlines()]
    assert (outcome["correlationid"], outcome["data"]["reason"]) == (
        parked["correlation_id"],
        "FieldMissing",
    )
    assert (dead.stdout, dead.returncode, ledger.stdout, ledger.returncode) == ("", 0, "", 0)
    assert nowhere.returncode == 1
    assert "cannot look at no-such-queue" in nowhere.stderr
    assert "Traceback" not in nowhere.stderr


def test_the_stack_signs_in_without_a_secret_also_after_its_far_end_was_killed(tmp_path: Path) -> None:
    """No secret is in the settings; a renewal on demand goes through, and again when Entra comes back."""
    nothing = tmp_path / "none.jsonl"
    nothing.touch()
    with stack(tmp_path, "--events", str(nothing)) as running:
        running.wait_for("the stack stays up")
        environment, pid = running.environment, running.pids["partner_center"]
        assert not {"PARTNER_CLIENT_SECRET", "PARTNER_REFRESH_TOKEN"} & set(environment)
        control.call_timer(environment, "renew_refresh_token")
        running.wait_for('"renewal":"renewed"')
        assert control.exchanges(environment) == {("refresh_token", "issued"): 1}
        running.kill("partner_center")
        deadline = time.monotonic() + 60
        while running.pids["partner_center"] == pid:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        control.call_timer(environment, "renew_refresh_token")
        running.wait_for('"renewal":"renewed"')


def test_a_command_runs_within_the_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command gets the stack's settings, and no other way to sign in; its exit code is handed on."""
    ready_file = tmp_path / "ready.json"
    ready_file.write_text(json.dumps({"environment": {"KEY_VAULT_URL": "https://localhost:1"}}))
    monkeypatch.setenv("PARTNER_CLIENT_SECRET", "of the surroundings")
    names = "('KEY_VAULT_URL', 'PARTNER_CLIENT_SECRET')"
    show = f"import os, sys; print(*map(os.environ.get, {names})); sys.exit(3)"
    within = ("local.within", "--ready-file", str(ready_file))
    ran = run(*within, "python", "-c", show)
    assert (ran.stdout, ran.returncode) == ("https://localhost:1 None\n", 3)
    assert run(*within, "agreements", "--help").returncode == 0
    assert run(*within).returncode == 2
    unknown = run(*within, "no-such-command")
    assert (unknown.returncode, unknown.stderr) == (127, "no-such-command: No such file or directory\n")
    ready_file.unlink()
    missing = run(*within, "python", "--version")
    assert missing.returncode == 1
    assert "make run" in missing.stderr


@pytest.mark.parametrize("module", ["local.send", "local.look"])
def test_without_a_stack_there_is_advice(module: str, tmp_path: Path) -> None:
    """When no stack is running, or it was killed, a person is told so in a line and what to do."""
    ready_file = tmp_path / "ready.json"
    given = str(ROOT / "local" / "samples" / "01-new-customer.json") if module == "local.send" else "ledger"
    missing = run(module, given, "--ready-file", str(ready_file))
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)
    assert "make run" in missing.stderr
    service_bus = (
        "Endpoint=sb://localhost:1;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true"
    )
    environment = {
        "ServiceBus": service_bus,
        "ACCEPTANCES_QUEUE": "agreement-acceptances",
        "PARTNER_CENTER_URL": "https://localhost:1",
        "REQUESTS_CA_BUNDLE": "/dev/null",
    }
    ready_file.write_text(json.dumps({"environment": environment}))
    gone = run(module, given, "--ready-file", str(ready_file))
    assert gone.returncode == 1
    assert "Traceback" not in gone.stderr
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    ready_file.write_text(json.dumps({"environment": environment, "pids": {"service_bus": ended.pid}}))
    killed = run(module, given, "--ready-file", str(ready_file))
    assert (killed.returncode, killed.stderr.count("\n")) == (1, 1)
    assert killed.stderr == f"the stack that wrote {ready_file} was killed: start another one with make run\n"


def test_partner_center_is_as_it_was_chosen(tmp_path: Path) -> None:
    """A rule that no page tells is chosen on the command line; the address for a browser is told."""
    nothing = tmp_path / "none.jsonl"
    nothing.touch()
    chosen = ("--events", str(nothing), "--partner-center", "callsPerSecond=5", "--partner-center", "burst=3")
    with stack(tmp_path, *chosen) as running:
        running.wait_for("see Partner Center at ")
        [url] = re.findall(r"https://localhost:[0-9]+/", running.told[-1])
        page = requests.get(url, verify=running.environment["REQUESTS_CA_BUNDLE"], timeout=10)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "callsPerSecond=5.0" in page.text
    assert "burst=3.0" in page.text


def test_a_choice_that_does_not_exist_starts_nothing(tmp_path: Path) -> None:
    """It is named in one line, with exit code 2."""
    with stack(tmp_path, "--partner-center", "brust=3") as running:
        out, code = running.end()
    assert (out, code) == ("", 2)
    assert "brust" in "".join(running.told)
    assert "".join(running.told).count("\n") == 1
