"""The host in front of Microsoft's emulator, as far as can be seen without it: what goes over the wire."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage

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

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            said = bytearray()
            self.said.append(said)
            answers, questions = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_pump(reader, questions, said), _pump(answers, writer, bytearray()))

        server = await asyncio.start_server(connected, address, PORT)
        try:
            yield
        finally:
            server.close()
            server.close_clients()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytearray) -> None:
    while some := await reader.read(65536):
        said += some
        writer.write(some)
    writer.close()


@pytest.fixture
def address() -> str:
    """An address of the loopback that is this test's alone, so that the emulator's port is free there."""
    high, low = divmod(os.getpid() % 62500, 250)
    return f"127.1.{high + 1}.{low + 1}"


@pytest.fixture
def broker() -> Iterator[Mapping[str, str]]:
    with in_thread(lambda: serve(Namespace.from_file(ENTITIES))) as environment:
        yield environment


def test_the_host_runs_against_the_emulator_by_the_sample_settings(
    broker: Mapping[str, str], address: str, tmp_path: Path
) -> None:
    """With the sample settings it speaks plain AMQP on 5672, by one connection for each queue."""
    settings = json.loads(SAMPLE.read_bytes())
    queue = settings["Values"]["ACCEPTANCES_QUEUE"]
    emulator = settings["Values"]["ServiceBus"].replace("localhost", address)
    settings["Values"]["ServiceBus"] = emulator
    given = tmp_path / "local.settings.json"
    given.write_text(json.dumps(settings))
    wire, [port] = Wire(), re.findall(r":(\d+);", broker["ServiceBus"])
    with ExitStack() as stack:
        try:
            stack.enter_context(in_thread(lambda: wire.to(int(port), address)))
        except OSError as error:
            pytest.skip(f"{address}:{PORT} cannot be listened on here: {error}")
        host = stack.enter_context(running(an_app(tmp_path, APP), {}, "--settings", str(given)))
        assert "environment" in host.next_line()
        client = stack.enter_context(ServiceBusClient.from_connection_string(broker["ServiceBus"]))
        sender = stack.enter_context(client.get_queue_sender(queue))
        sender.send_messages(ServiceBusMessage("to the emulator"), timeout=PATIENCE)
        assert host.next_line()["body"] == "to the emulator"
        assert host.stop() == 0
    assert len(wire.said) == 2 <= CONNECTIONS
    for said in wire.said:
        assert said.startswith(SASL)
        operations = set(re.findall(rb"com\.microsoft:[a-z-]+|put-token", said))
        assert operations <= {b"put-token", b"com.microsoft:renew-lock", b"com.microsoft:receiver-name"}
        entities = {path_of(found.decode()) for found in re.findall(rb"amqps://[\w.:/-]+", said)}
        assert entities <= {queue, settings["Values"]["RETRIES_QUEUE"]}
        assert entities


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
