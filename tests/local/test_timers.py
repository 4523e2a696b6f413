import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.local.hosts import Host, an_app, running

# What each run sees of its request, and whether it is let go.
APP = """
import json, logging
from pathlib import Path
import azure.functions as func

app = func.FunctionApp()
log = logging.getLogger("agreements")

@app.timer_trigger(arg_name="timer", schedule="%SCHEDULE%", run_on_startup=False)
def renew(timer: func.TimerRequest) -> None:
    log.info(json.dumps({"past_due": timer.past_due, "next": timer.schedule_status["Next"]}))

@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
def hold(timer: func.TimerRequest) -> None:
    with Path(GATE).open("rb") as gate:
        log.info(json.dumps({"holding": True}))
        gate.read()
    log.info(json.dumps({"holding": False}))

@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
def fail(timer: func.TimerRequest) -> None:
    raise ValueError("this one fails")

@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=STARTUP)
def begin(timer: func.TimerRequest) -> None:
    log.info(json.dumps({"begun": True}))
"""
NEVER = {"SCHEDULE": "0 0 0 1 1 *"}


class Gate:
    """A pipe that holds back whoever reads it until it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        # With a writer there, a reader comes in at once, and leaves when there is none any more.
        self._writers = [os.open(path, os.O_RDWR)]

    def open(self) -> None:
        for writer in self._writers:
            os.close(writer)
        self._writers.clear()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A closed gate; it is open at the end of the test, if not before."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()


def app_with(gate: Gate, *, on_startup: bool = False) -> Path:
    """Write the app into the folder of the gate."""
    code = APP.replace("GATE", repr(str(gate.path))).replace("STARTUP", str(on_startup))
    return an_app(gate.path.parent, code)


def url(host: Host) -> str:
    """Wait until the host answers; return where it does."""
    return str(host.next_line()["environment"]["FUNCTIONS_HOST_URL"])


def called(url: str, name: str) -> int:
    """Call a timer's function; the status of the answer."""
    return requests.post(f"{url}/admin/functions/{name}", json={"input": ""}, timeout=10).status_code


def test_a_timer_runs_at_its_time(gate: Gate) -> None:
    """The schedule comes from a setting, its first field is seconds, and each time has its run."""
    with running(app_with(gate), {"SCHEDULE": "* * * * * *"}) as host:
        url(host)
        seen = [host.next_line() for _ in range(2)]
    assert [one["past_due"] for one in seen] == [False, False]
    assert seen[0]["next"] < seen[1]["next"]


def test_a_timer_runs_on_demand(gate: Gate) -> None:
    """A POST to the real host's own route calls it at once; a name that is none is told."""
    with running(app_with(gate), NEVER) as host:
        where = url(host)
        assert called(where, "renew") == 202
        assert host.next_line()["past_due"] is False
        assert called(where, "no-such") == 404
        assert host.is_silent()
        assert host.stop() == 0


def test_a_timer_runs_at_start_up_where_it_is_told_to(gate: Gate) -> None:
    """``run_on_startup`` is obeyed."""
    with running(app_with(gate, on_startup=True), NEVER) as host:
        url(host)
        assert host.next_line() == {"begun": True}


def test_runs_on_demand_overlap(gate: Gate) -> None:
    """Two calls run at the same time, as on two instances of an app."""
    with running(app_with(gate), NEVER) as host:
        where = url(host)
        assert [called(where, "hold") for _ in range(2)] == [202, 202]
        assert [host.next_line()["holding"] for _ in range(2)] == [True, True]
        gate.open()
        assert [host.next_line()["holding"] for _ in range(2)] == [False, False]


def test_a_failure_is_told_and_the_host_goes_on(gate: Gate) -> None:
    """What a timer's function raises is in the host's words, with its stack."""
    with running(app_with(gate), NEVER) as host:
        where = url(host)
        assert called(where, "fail") == 202
        assert called(where, "renew") == 202
        assert host.next_line()["past_due"] is False
        assert host.stop() == 0
        assert "host: fail: failed, called by request" in host.stderr()
        assert "ValueError: this one fails" in host.stderr()


def test_sigterm_lets_a_timer_finish(gate: Gate) -> None:
    """A run that is under way when the end is asked for is waited for."""
    with running(app_with(gate), NEVER) as host:
        where = url(host)
        assert called(where, "hold") == 202
        assert host.next_line() == {"holding": True}
        host.process.send_signal(signal.SIGTERM)
        gate.open()
        assert host.next_line() == {"holding": False}
        assert host.wait() == 0


def test_what_is_no_schedule_ends_the_start(gate: Gate) -> None:
    """The function and the schedule are named, and nothing runs."""
    with running(app_with(gate), {"SCHEDULE": "every day"}) as host:
        assert host.wait() == 1
        assert host.stderr().splitlines()[-1] == "host: renew: every day is no NCRONTAB expression"
