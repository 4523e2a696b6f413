"""Every runbook of docs/operations.md, typed as it stands, against the whole stack; ``make runbooks``.

A person's part is played: what a command asks is answered by ``--yes``, an exported file is mended, and what
an example only stands for (a sequence number, a file's name) is put in.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusSubQueue

from agreements import settings, toolbox
from agreements.messages import ParkedMessage, Place
from agreements.settings import BusSettings
from local import control
from tests.runbooks.cases import CASES, CUSTOMER, RETRIES, Case, Ending, event
from tests.runbooks.document import DOCUMENT, runbooks
from tests.stacks import Stack, empty

SECONDS = 60.0
RUNBOOKS = runbooks()
ASKS = ("replay", "release", "discard", "import")


class Desk:
    """Where a person sits who has the stack's settings, and a shell."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environ = {**os.environ, **stack.environment, "XDG_CONFIG_HOME": str(folder), "PATH": path}
        self.at = toolbox.operations(settings.read(BusSettings, stack.environment))
        self.bus = ServiceBusClient.from_connection_string(stack.environment["ServiceBus"])

    def close(self) -> None:
        self.at.store.close()
        self.bus.close()

    def type(self, line: str) -> "subprocess.CompletedProcess[str]":
        """Type a line into a shell."""
        return subprocess.run(
            # Also what fails within a pipe fails.
            ["bash", "-o", "pipefail", "-c", line],  # noqa: S607 - the shell of whoever reads the document
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )

    def park(self, case: Case, name: str) -> None:
        """Let an event be in trouble."""
        message = case.message(name)
        with self.bus.get_queue_sender(case.place) as sender:
            if case.scheduled:
                sender.schedule_messages(message, datetime.now(UTC) + timedelta(hours=1), timeout=SECONDS)
            else:
                sender.send_messages(message, timeout=SECONDS)
        if case.dead:
            with self.bus.get_queue_receiver(case.place) as receiver:
                [taken] = receiver.receive_messages(1, max_wait_time=SECONDS)
                receiver.dead_letter_message(taken, reason=case.reason)

    def lying(self, case: Case, name: str) -> list[ParkedMessage]:
        """Return what is left of an event where it was in trouble."""
        place = Place(case.place, dead=case.dead)
        return [message for message in self.at.messages([place]) if name in message.event_id]

    def clear(self) -> None:
        """Let nothing wait for the next runbook."""
        for place in self.at.names.resting:
            sub_queue = ServiceBusSubQueue.DEAD_LETTER if place.dead else None
            if self.at.store.highest(place):
                with self.bus.get_queue_receiver(place.queue, sub_queue=sub_queue) as receiver:
                    for message in receiver.receive_messages(100, max_wait_time=1):
                        receiver.complete_message(message)
        for retry in self.at.messages([Place(RETRIES)]):
            self.at.store.cancel(RETRIES, retry.sequence_number)

    def recorded(self) -> set[str]:
        """Return the addresses of everyone whose acceptance is on record."""
        contacts = [agreement["primaryContact"] for agreement in control.ledger(self.stack.environment)]
        return {str(contact["email"]) for contact in contacts if isinstance(contact, dict)}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    with empty(folder) as stack:
        opened = Desk(stack, folder)
        with opened.bus.get_queue_sender("agreement-acceptances") as sender:
            first = event("first@contoso.example", CUSTOMER, "2026-10-01")
            sender.send_messages(ServiceBusMessage(json.dumps(first).encode()), timeout=SECONDS)
        until(lambda: "first@contoso.example" in opened.recorded())
        yield opened
        opened.close()


def until(true: Callable[[], bool]) -> None:
    """Wait for what happens in other processes."""
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.2)


def meant(line: str, desk: Desk, case: Case, name: str) -> str:
    """Return a line with what its example stands for, and the answer to what it will ask."""
    for lying in desk.lying(case, name):
        line = line.replace("--sequence-number 17", f"--sequence-number {lying.sequence_number}")
    if "import discarded.jsonl" in line:
        [kept] = desk.folder.glob("agreements/discarded-*.jsonl")
        line = line.replace("discarded.jsonl", shlex.quote(str(kept)))
    # Nothing on this stack is a month old.
    line = line.replace("--until 30d", "--until 0s")
    command, pipe, rest = line.partition(" | ")
    answer = " --yes" if any(f" {asks} " in command for asks in ASKS) else ""
    return f"{command}{answer}{pipe}{rest}"


def test_every_runbook_is_tried() -> None:
    """A section with commands has its case here; those of signing in have one command, tried once."""
    without = {title for title, lines in RUNBOOKS.items() if lines != ["agreements doctor"]} - set(CASES)
    assert without == set()
    assert set(CASES) <= set(RUNBOOKS)


@pytest.mark.parametrize("name", list(CASES))
def test_a_runbook_does_what_it_says(name: str, desk: Desk) -> None:
    """Each of its commands succeeds as it is written, and the event ends where the runbook leads."""
    case, key = CASES[name], f"{list(CASES).index(name):02}-{''.join(filter(str.isalpha, name))[:12]}"
    desk.clear()
    named = case.message_id or key
    desk.park(case, named)
    if case.beside:
        desk.park(case.beside, "beside")
    for line in RUNBOOKS[name]:
        ran = desk.type(meant(line, desk, case, named))
        assert ran.returncode == 0, (line, ran.returncode, ran.stdout, ran.stderr)
        if " parked export " in line:
            file = desk.folder / shlex.split(line)[-1]
            mended = case.mend([json.loads(one) for one in file.read_text().splitlines()], named)
            file.write_text("".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in mended))
    if case.ending is Ending.CONFIRMED:
        until(lambda: f"{named}@contoso.example" in desk.recorded())
    assert bool(desk.lying(case, named)) is (case.ending is Ending.STAYS)
    assert (f"{named}@contoso.example" in desk.recorded()) is (case.ending is Ending.CONFIRMED)
    for file in [*desk.folder.glob("*.jsonl*"), *desk.folder.glob("agreements/discarded*")]:
        file.unlink()


def test_the_doctor_finds_a_sound_deployment(desk: Desk) -> None:
    """The command with which the runbooks of signing in begin and end."""
    ran = desk.type("agreements doctor")
    assert (ran.returncode, ran.stderr.splitlines()[-1].split(",")[1]) == (0, " 0 failed"), ran.stdout


def test_consumption_is_paused_and_resumed(desk: Desk) -> None:
    """While the host stands still events wait and none is counted; afterwards they are confirmed."""
    lines = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("kill -")]
    host = str(desk.stack.pids["functions_host"])
    pause, resume = (line.replace("<functions_host>", host) for line in lines)
    assert desk.type(pause).returncode == 0
    try:
        with desk.bus.get_queue_sender("agreement-acceptances") as sender:
            late = event("paused@contoso.example", "beefbeef-0000-4000-8000-0000000000ff")
            sender.send_messages(ServiceBusMessage(json.dumps(late).encode()), timeout=SECONDS)
        told = desk.type("agreements parked list --from acceptances --json")
        assert (told.returncode, json.loads(told.stdout)["deliveryCount"]) == (0, 0)
    finally:
        assert desk.type(resume).returncode == 0
    until(lambda: "paused@contoso.example" in desk.recorded())
