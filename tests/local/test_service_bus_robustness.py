"""Clients that misbehave, against the broker as a program of its own, whose memory can be measured."""

import json
import re
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.service_bus import encoding, frames
from local.service_bus.message import Section
from local.service_bus.performatives import Code
from tests.local.amqp import NULL, Client, condition, connect, port_of

ROOT = Path(__file__).parents[2]
MIB = 2**20
# What a broker may need for whatever a client does beside the messages that it keeps for it.
ROOM = 12 * MIB
LARGE = encoding.described(Section.DATA, encoding.binary(bytes(200_000)))
SMALL = encoding.described(Section.DATA, encoding.binary(b"small"))


@dataclass
class Program:
    """The running broker."""

    port: int
    pid: int

    def memory(self) -> int:
        """Return how many bytes of memory it uses (Linux)."""
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert found is not None
        return int(found[1]) * 1024

    def connections(self) -> int:
        """Return how many sockets it has open (Linux)."""
        links = Path(f"/proc/{self.pid}/fd").iterdir()
        return sum(link.readlink().name.startswith("socket:") for link in links)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Run the broker with a queue for each kind of misbehaviour, and warm it up."""
    queues: list[object] = [{"name": name} for name in ("q", "slow", "pages")]
    queues.append({"name": "killed", "properties": {"lockDuration": "PT1S"}})
    entities = tmp_path_factory.mktemp("entities") / "service-bus.json"
    entities.write_text(json.dumps({"queues": queues}))
    command = [sys.executable, "-m", "local.service_bus", "--port=0", "--until-stdin-closes"]
    with subprocess.Popen(
        [*command, "--entities", entities], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        environment = json.loads(process.stdout.readline())["environment"]
        served = Program(port_of(environment), process.pid)
        send(served, "q", LARGE, 20)
        take(served, "q", 20)
        yield served
        process.communicate()
    assert process.returncode == 0


@pytest.fixture
def program(running: Program) -> Iterator[Program]:
    """Give a test the broker, which must serve others as well as before whatever the test did."""
    yield running
    send(running, "q", SMALL, 1)
    take(running, "q", 1)


def send(program: Program, queue: str, payload: bytes, count: int) -> None:
    """Send messages and see each accepted."""
    with connect(program.port) as client:
        client.attach(0, queue, receives=False)
        for number in range(count):
            deliver(client, payload, number)
            assert "ACCEPTED" in outcome(client)


def deliver(client: Client, payload: bytes, number: int) -> None:
    """Send a delivery in as many frames as it needs."""
    room = frames.MAX_FRAME_SIZE - 100
    for start in range(0, len(payload), room):
        more = start + room < len(payload)
        client.transfer(0, payload[start : start + room], delivery_id=number, more=more)


def outcome(client: Client) -> str:
    """Return the name of the outcome that the broker tells next."""
    state = client.until(Code.DISPOSITION)[4]
    return Code(state.descriptor).name if hasattr(state, "descriptor") else "none"


def take(program: Program, queue: str, count: int) -> None:
    """Receive messages, which must be there, and complete them."""
    with connect(program.port, window=2**31 - 1) as client:
        client.attach(0, queue, receives=True)
        client.flow(0, count, window=2**31 - 1)
        for _ in range(count):
            client.settle(last_frame(client), frames.outcome(Code.ACCEPTED), settled=True)
        client.flow(None, echo=1)
        client.until(Code.FLOW)


def last_frame(client: Client) -> int:
    """Read a delivery to its end; return its id."""
    while True:
        fields = client.until(Code.TRANSFER)
        if not fields[5]:
            assert isinstance(fields[1], int)
            return fields[1]


def reset(client: Client) -> None:
    """Die without a word, as a killed process does on a bad network."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()


BODIES = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda code, rest: b"\x00\x53" + bytes([code]) + rest,
        st.sampled_from([int(code) for code in Code]),
        st.one_of(
            st.binary(max_size=100),
            st.lists(
                st.sampled_from(
                    [
                        NULL,
                        encoding.TRUE,
                        encoding.uint(0),
                        encoding.uint(2**32 - 1),
                        encoding.string("q"),
                        encoding.string("amqps://[x/q"),
                        encoding.binary(b"\x00" * 20),
                        encoding.described(0x28, encoding.sequence([encoding.string("q")])),
                        encoding.mapping([encoding.symbol("a"), encoding.EMPTY_LIST]),
                    ]
                ),
                max_size=12,
            ).map(encoding.sequence),
        ),
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bodies=st.lists(BODIES, min_size=1, max_size=4), channel=st.sampled_from([0, 1, 7]))
def test_nonsense_in_the_middle_of_a_session(program: Program, bodies: list[bytes], channel: int) -> None:
    """Whatever frames come after a good start, the broker answers or hangs up, and never fails inside."""
    with connect(program.port) as client:
        client.attach(0, "q", receives=False)
        client.send(*bodies, channel=channel)
        client.socket.shutdown(socket.SHUT_WR)
        while head := client.read(4):
            rest = client.read(struct.unpack(">I", head)[0] - 4)
            assert b"amqp:internal-error" not in rest


def test_a_delivery_without_end_is_not_kept(program: Program) -> None:
    """A delivery far beyond the largest message is taken to its end and refused, and costs no memory."""
    before = program.memory()
    with connect(program.port) as client:
        client.attach(0, "q", receives=False)
        for _ in range(1000):
            client.transfer(0, bytes(65_000), more=True)
        assert program.memory() - before < ROOM
        client.transfer(0, b"")
        assert outcome(client) == "REJECTED"


def test_clients_that_die_in_the_middle_leave_nothing(program: Program) -> None:
    """Deliveries that were cut off are forgotten with their connections, however many."""
    before, open_before = program.memory(), program.connections()
    for _ in range(100):
        client = Client(program.port)
        client.open()
        client.attach(0, "q", receives=False)
        client.transfer(0, bytes(60_000), more=True)
        client.transfer(0, bytes(60_000), more=True)
        reset(client)
    with connect(program.port) as witness:
        witness.attach(0, "q", receives=True)
        witness.flow(0, 1)
        witness.nothing_comes()
        deadline = time.monotonic() + 60
        while program.connections() > open_before + 1:
            assert time.monotonic() < deadline, "connections of dead clients stay open"
            time.sleep(0.01)
    assert program.memory() - before < ROOM


def test_a_receiver_that_dies_loses_nothing(program: Program) -> None:
    """What a killed client had locked comes to the next one once the lock is over."""
    send(program, "killed", LARGE, 5)
    client = Client(program.port)
    client.open()
    client.attach(0, "killed", receives=True)
    client.flow(0, 5)
    last_frame(client)
    reset(client)
    take(program, "killed", 5)


def test_a_slow_reader_gets_what_it_reads(program: Program) -> None:
    """Credit for fifty megabytes and no reading: only what the network holds is sent, and later all of it."""
    send(program, "slow", LARGE, 250)
    before = program.memory()
    with connect(program.port, window=2**31 - 1) as client:
        client.attach(0, "slow", receives=True)
        client.flow(0, 1000, window=2**31 - 1)
        with connect(program.port) as witness:
            witness.attach(0, "q", receives=False)
            for number in range(50):
                deliver(witness, SMALL, number)
                outcome(witness)
        assert program.memory() - before < ROOM
        client.socket.settimeout(30)
        for _ in range(250):
            client.settle(last_frame(client), frames.outcome(Code.ACCEPTED), settled=True)
        client.flow(None, echo=1, window=2**31 - 1)
        client.until(Code.FLOW)
    take(program, "q", 50)


def requests(client: Client) -> Callable[[], None]:
    """Open the two links of a management node; return a way to ask for a page of messages."""
    client.attach(0, "pages/$management", receives=False)
    client.attach(1, "pages/$management", receives=True)
    told = [encoding.string("operation"), encoding.string("com.microsoft:peek-message")]
    asked = [encoding.string("from-sequence-number"), encoding.long(1)]
    asked += [encoding.string("message-count"), encoding.integer(10)]
    properties = encoding.described(Section.PROPERTIES, encoding.sequence([encoding.string("m")]))
    payload = (
        properties
        + encoding.described(Section.APPLICATION_PROPERTIES, encoding.mapping(told))
        + encoding.described(Section.VALUE, encoding.mapping(asked))
    )
    return lambda: client.transfer(0, payload)


def repeat(ask: Callable[[], None], count: int) -> None:
    """Ask again and again."""
    for _ in range(count):
        ask()


def test_responses_that_nobody_takes_are_bounded(program: Program) -> None:
    """A client that asks and asks without credit for the answers is refused in the end, not hoarded for."""
    send(program, "pages", LARGE, 1)
    before = program.memory()
    with connect(program.port) as client:
        ask = requests(client)
        repeat(ask, 100)
        outcomes = [client.expect(Code.DISPOSITION)[4] for _ in range(100)]
        refused = [state for state in outcomes if getattr(state, "descriptor", 0) == Code.REJECTED]
        assert 90 < len(refused) < 100
        assert condition(getattr(refused[0], "value", []), 0) == "amqp:resource-limit-exceeded"
        assert program.memory() - before < ROOM
    take(program, "pages", 1)


def test_responses_that_nobody_reads_are_bounded(program: Program) -> None:
    """A client that asks for pages and reads none of them is not heard any more until it reads."""
    send(program, "pages", LARGE, 1)
    before = program.memory()
    with connect(program.port, window=2**31 - 1) as client:
        ask = requests(client)
        client.flow(1, 2**20, window=2**31 - 1)
        client.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            repeat(ask, 100_000)
        assert program.memory() - before < ROOM
    take(program, "pages", 1)
