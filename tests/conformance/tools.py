"""A command-line tool by others, unchanged, against the local Service Bus: part of ``make conformance``."""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from local.parts import in_thread
from local.service_bus import Namespace, serve

TOOLS = Path(__file__).parents[2] / ".venv" / "tools"


@pytest.fixture(scope="module")
def connection_string() -> Iterator[str]:
    """Serve a queue."""
    with in_thread(partial(serve, Namespace.from_dict({"queues": [{"name": "q"}]}))) as environment:
        yield environment["ServiceBus"]


def azsb(connection_string: str, *arguments: str) -> str:
    """Run ``azsb`` as a person does; return what it prints."""
    told = {"PYTHONPATH": str(TOOLS), "AZURE_SERVICEBUS_CONNECTION_STRING": connection_string}
    command = [sys.executable, "-m", "azure_servicebus_cli.cli", *arguments]
    done = subprocess.run(
        command, env=os.environ | told, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_azsb_sends_and_receives(connection_string: str, tmp_path: Path) -> None:
    """Text and a file are sent, and received once, in their order."""
    file = tmp_path / "event.json"
    file.write_text('{"number": 7}')
    for message in ("hello", str(file)):
        told = azsb(connection_string, "send", "--queue", "q", "--message", message)
        assert told == "Message sent successfully\n"
    told = azsb(connection_string, "receive", "--queue", "q", "--max-number-of-messages", "2")
    assert told.split() == ["Received:", "hello", "Received:", '{"number":', "7}"]


def test_azsb_tells_what_the_broker_refuses(connection_string: str) -> None:
    """The broker's own words reach the person at the tool."""
    told = azsb(connection_string, "send", "--queue", "nowhere", "--message", "x")
    assert "the messaging entity nowhere could not be found" in told
