"""The host in front of Microsoft's emulator, as far as can be seen without it: what goes over the wire."""

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusSender

from local import partner_center
from local.parts import in_thread
from local.service_bus import Namespace, serve
from local.service_bus.namespace import path_of
from tests.local.hosts import PATIENCE, ROOT, an_app, running

# The emulator's own, by the page "Test locally by using the Azure Service Bus emulator".
PORT = 5672
CONNECTIONS = 10
SASL = b"AMQP\x03\x01\x00\x00"
ENTITIES = ROOT / "infra" / "service-bus.json"
SAMPLE = ROOT / "local.settings.sample.json"

# Triggers as the product has them.
APP = """
import json, logging
import azure.functions as func

app = func.FunctionApp()

def tell(message):
    logging.getLogger("agreements").info(json.dumps({"body": message.get_body().decode()}))

@app.service_bus_queue_trigger(
    arg_name="message", connection="ServiceBus", queue_name="%ACCEPTANCES_QUEUE%", data_type="binary")
def acceptances(message: func.ServiceBusMessage) -> None:
    tell(message)

@app.service_bus_queue_trigger(
    arg_name="message", connection="ServiceBus", queue_name="%RETRIES_QUEUE%", data_type="binary")
def retries(message: func.ServiceBusMessage) -> None:
    tell(message)
"""


class Wire:
    """What was said over a port on its way to the broker: for each connection the bytes of the client."""

    def __init__(self) -> None:
        self.said: list[bytearray] = []

    @asynccontextmanager
    async def to(self, port: int, address: str) -> AsyncIterator[None]:
        """Listen on the emulator's port of an address, and pass everything on to a port of this machine."""
        passing: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            said = bytearray()
            self.said.append(said)
            answers, questions = await asyncio.open_connection("127.0.0.1", port)
            pumps = _pump(reader, questions, said), _pump(answers, writer, bytearray())
            passing.update(asyncio.create_task(pump) for pump in pumps)

        server = await asyncio.start_server(connected, address, PORT)
        try:
            yield
        finally:
            server.close()
            server.close_clients()
            if passing:
                await asyncio.wait(passing)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytearray) -> None:
    with suppress(ConnectionError):
        while some := await reader.read(65536):
            said += some
            writer.write(some)
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@pytest.fixture
def address() -> str:
    """An address of the loopback that is this test's alone, so that the emulator's port is free there."""
    high, low = divmod(os.getpid() % 62500, 250)
    return f"127.1.{high + 1}.{low + 1}"


@pytest.fixture
def broker() -> Iterator[Mapping[str, str]]:
    with in_thread(lambda: serve(Namespace.from_file(ENTITIES))) as environment:
        yield environment


@pytest.fixture
def emulator(broker: Mapping[str, str], address: str) -> Iterator[Wire]:
    """What the settings that are handed out lead to: the emulator's port, with the local broker behind it."""
    [port] = re.findall(r":(\d+);", broker["ServiceBus"])
    wire = Wire()
    with ExitStack() as stack:
        try:
            stack.enter_context(in_thread(lambda: wire.to(int(port), address)))
        except OSError as error:
            pytest.skip(f"{address}:{PORT} cannot be listened on here: {error}")
        yield wire


@pytest.fixture
def sample(address: str, tmp_path: Path) -> Path:
    """The sample settings as they are, but for the one name."""
    file = tmp_path / "local.settings.json"
    file.write_text(SAMPLE.read_text().replace("Endpoint=sb://localhost;", f"Endpoint=sb://{address};"))
    return file


@pytest.fixture
def sender(broker: Mapping[str, str]) -> Iterator[ServiceBusSender]:
    """A publisher, who goes straight to the broker."""
    with (
        ServiceBusClient.from_connection_string(broker["ServiceBus"]) as client,
        client.get_queue_sender("agreement-acceptances") as sender,
    ):
        yield sender


def test_the_host_asks_for_nothing_that_the_emulator_lacks(
    emulator: Wire, sample: Path, sender: ServiceBusSender, tmp_path: Path
) -> None:
    """It speaks plain AMQP on 5672, by one connection for each queue, and manages nothing but locks."""
    with running(an_app(tmp_path, APP), {}, "--settings", str(sample)) as host:
        assert "environment" in host.next_line()
        sender.send_messages(ServiceBusMessage("to the emulator"), timeout=PATIENCE)
        assert host.next_line()["body"] == "to the emulator"
        assert host.stop() == 0
    assert len(emulator.said) == 2
    for said in emulator.said:
        assert said.startswith(SASL)
        operations = set(re.findall(rb"com\.microsoft:[a-z-]+|put-token", said))
        assert operations <= {b"put-token", b"com.microsoft:renew-lock", b"com.microsoft:receiver-name"}
        entities = {path_of(found.decode()) for found in re.findall(rb"amqps://[\w.:/-]+", said)}
        assert entities
        assert entities <= {"agreement-acceptances", "agreement-retries"}


def test_the_app_itself_stays_within_the_emulators_connections(
    emulator: Wire, sample: Path, sender: ServiceBusSender, tmp_path: Path
) -> None:
    """With every one of its senders open, host and app together have no more than the emulator allows."""
    for name in ("function_app.py", "host.json"):
        shutil.copy(ROOT / name, tmp_path)
    outcomes = []
    with (
        in_thread(partner_center.serve) as environment,
        running(tmp_path, environment, "--settings", str(sample)) as host,
    ):
        assert "environment" in host.next_line()
        for event in ("01-new-customer", "01-new-customer", "08-unreadable", "09-unknown-customer"):
            body = (ROOT / "local" / "samples" / f"{event}.json").read_bytes()
            sender.send_messages(ServiceBusMessage(body), timeout=PATIENCE)
            outcomes.append(host.next_line()["outcome"])
        assert host.stop() == 0
    assert outcomes == ["Confirmed", "Duplicate", "Rejected", "Retry"]
    assert 2 + 3 <= len(emulator.said) <= CONNECTIONS
    assert all(said.startswith(SASL) for said in emulator.said)


def test_settings_of_the_environment_win(broker: Mapping[str, str], tmp_path: Path) -> None:
    """As in Core Tools, a file of settings adds to the environment and changes nothing in it."""
    given = tmp_path / "local.settings.json"
    given.write_text(json.dumps({"Values": {"ServiceBus": "rubbish", "RETRIES_QUEUE": "agreement-retries"}}))
    environ = {**broker, "ACCEPTANCES_QUEUE": "agreement-acceptances"}
    with running(an_app(tmp_path, APP), environ, "--settings", str(given)) as host:
        assert "environment" in host.next_line()
        assert host.stop() == 0


@pytest.mark.parametrize("text", ["", "[]", '{"IsEncrypted": false}', '{"Values": 7}'])
def test_settings_that_cannot_be_read_end_the_start(text: str, tmp_path: Path) -> None:
    """The file is named, in one line, with exit code 1."""
    given = tmp_path / "local.settings.json"
    given.write_text(text)
    with running(an_app(tmp_path, APP), {}, "--settings", str(given)) as host:
        assert host.wait() == 1
        [line] = host.stderr().splitlines()
    assert line.startswith(f"host: {given} cannot be used as settings: ")
