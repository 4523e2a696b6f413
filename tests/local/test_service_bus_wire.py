import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.parts import in_thread
from local.service_bus import Namespace, decoding, encoding, frames, serve, slicing
from local.service_bus import __main__ as program
from local.service_bus.entities import State
from local.service_bus.message import Message, Section, sections
from local.service_bus.performatives import Code
from local.service_bus.queues import Queue
from tests.local.amqp import Client, condition, connect, outcome, port_of

NULL = encoding.NULL
BODY = encoding.described(Section.DATA, encoding.binary(b"body"))


@pytest.fixture
def namespace() -> Namespace:
    """Return a namespace of one queue."""
    return Namespace.from_dict({"queues": [{"name": "q"}], "topics": [{"name": "t"}]})


@pytest.fixture
def port(namespace: Namespace) -> Iterator[int]:
    """Serve the namespace; whatever a test did, the broker must still serve afterwards."""
    with in_thread(lambda: serve(namespace)) as environment:
        yield port_of(environment)
        with connect(port_of(environment)) as client:
            client.attach(9, "q", receives=False)


def fill(namespace: Namespace, count: int, payload: bytes = BODY) -> Queue:
    """Put messages into the queue."""
    queue = namespace.source("q")
    queue.send([Message.parse(payload) for _ in range(count)])
    return queue


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(garbage=st.binary(min_size=8, max_size=300))
def test_garbage_from_the_start(port: int, garbage: bytes) -> None:
    """Bytes that are no AMQP are answered with the right protocol's header or an end, never with silence."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
        raw.sendall(garbage)
        raw.shutdown(socket.SHUT_WR)
        while raw.recv(65536):
            pass


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x00\x00\x00\x04\x02\x00\x00\x00", "amqp:connection:framing-error"),
        (b"\x7f\xff\xff\xff\x02\x00\x00\x00", "amqp:connection:framing-error"),
        (frames.frame(1, b"\x00\x53\x14\xc0\xff\x05"), "amqp:decode-error"),
        (frames.frame(1, b"garbage"), "amqp:decode-error"),
        (frames.frame(1, encoding.described(0x77, encoding.EMPTY_LIST)), "amqp:decode-error"),
        (frames.frame(1, encoding.described(Code.TRANSFER, encoding.EMPTY_LIST)), "amqp:decode-error"),
        (frames.frame(1, encoding.described(Code.FLOW, encoding.mapping([]))), "amqp:decode-error"),
        (frames.frame(7, encoding.described(Code.FLOW, encoding.EMPTY_LIST)), "amqp:not-allowed"),
        (frames.frame(1, encoding.described(Code.BEGIN, encoding.EMPTY_LIST)), "amqp:not-allowed"),
        (frames.frame(0, encoding.described(Code.OPEN, encoding.EMPTY_LIST)), "amqp:not-allowed"),
        (
            frames.frame(1, encoding.described(Code.DETACH, encoding.sequence([encoding.uint(5)]))),
            "amqp:session:unattached-handle",
        ),
    ],
)
def test_a_malformed_frame_ends_its_connection_only(port: int, data: bytes, expected: str) -> None:
    """The client is told what was wrong, and everyone else is served on."""
    with connect(port) as other, connect(port) as client:
        client.socket.sendall(data)
        assert condition(client.expect(Code.CLOSE), 0) == expected
        assert client.read(1) == b""
        other.nothing_comes()


def test_a_bug_ends_its_connection_only(
    port: int, namespace: Namespace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception that nobody expected is logged and told, and the broker lives on."""
    with connect(port) as other, connect(port) as client:
        client.attach(0, "q", receives=True)
        monkeypatch.setattr(namespace.source("q"), "advance", lambda: 1 / 0)
        client.flow(0, 1)
        assert condition(client.expect(Code.CLOSE), 0) == "amqp:internal-error"
        other.nothing_comes()
        monkeypatch.undo()
    assert "ZeroDivisionError" in caplog.text


def test_heartbeats_come_when_asked_for(port: int) -> None:
    """A client that names an idle timeout hears from the broker in time, again and again."""
    with connect(port, idle_timeout=100) as client:
        assert [client.next()[0] for _ in range(3)] == [-1, -1, -1]
        client.send(b"")
        client.flow(None, echo=1)
        while client.next()[0] != Code.FLOW:
            pass


def test_credit_bounds_what_is_delivered(port: int, namespace: Namespace) -> None:
    """Credit is absolute, counts from the client's delivery count, and is never exceeded."""
    queue = fill(namespace, 10)
    with connect(port) as client:
        client.attach(0, "q", receives=True)
        client.flow(0, 2)
        assert [client.expect(Code.TRANSFER)[1] for _ in range(2)] == [0, 1]
        client.nothing_comes()
        client.flow(0, 3, count=1)
        assert [client.expect(Code.TRANSFER)[1] for _ in range(2)] == [2, 3]
        client.flow(0, 0, count=1)
        client.nothing_comes()
    assert queue.count(State.LOCKED) == 4


def test_draining_uses_the_credit_up(port: int, namespace: Namespace) -> None:
    """A drained link delivers what is there, then says that the rest of the credit is gone."""
    fill(namespace, 2)
    with connect(port) as client:
        client.attach(0, "q", receives=True)
        client.flow(0, 5, drain=1)
        client.expect(Code.TRANSFER)
        client.expect(Code.TRANSFER)
        fields = client.expect(Code.FLOW)
        assert fields[4:7] == [0, 5, 0]
        assert fields[8] is True
        fill(namespace, 1)
        client.nothing_comes()


def test_the_session_window_is_obeyed(port: int, namespace: Namespace) -> None:
    """With credit to spare, no more frames come than the session's window has room for."""
    fill(namespace, 10)
    with connect(port, window=3) as client:
        client.attach(0, "q", receives=True)
        client.flow(0, 10, window=3)
        assert [client.expect(Code.TRANSFER)[1] for _ in range(3)] == [0, 1, 2]
        client.flow(None, echo=1, next_id=3, window=0)
        client.expect(Code.FLOW)
        client.flow(None, next_id=3, window=2)
        assert [client.expect(Code.TRANSFER)[1] for _ in range(2)] == [3, 4]


def test_a_delivery_is_split_into_the_clients_frames(port: int, namespace: Namespace) -> None:
    """No frame is larger than the client allows, the window counts frames, and the parts make the message."""
    large = encoding.described(Section.DATA, encoding.binary(bytes(range(256)) * 8))
    fill(namespace, 1, large)
    with connect(port, max_frame_size=512, window=3) as client:
        client.attach(0, "q", receives=True)
        client.flow(0, 1, window=3)
        parts = [client.next() for _ in range(3)]
        client.flow(None, next_id=3, window=100)
        while parts[-1][1][5]:
            parts.append(client.next())
        assert {fields[1] for _, fields, _ in parts} == {0}
        assert max(len(payload) for _, _, payload in parts) <= 512
        assert b"".join(payload for _, _, payload in parts).endswith(large)


def test_parts_of_a_delivery_may_leave_out_its_id(port: int, namespace: Namespace) -> None:
    """A delivery of several frames is put together whether or not the later ones repeat the id."""
    with connect(port) as client:
        client.attach(0, "q", receives=False)
        head = [encoding.uint(0), encoding.uint(0), encoding.binary(b"t"), NULL, NULL]
        rest = [encoding.uint(0), NULL, NULL, NULL, NULL]
        client.send(
            encoding.described(Code.TRANSFER, encoding.sequence([*head, encoding.TRUE])) + BODY[:4],
            encoding.described(Code.TRANSFER, encoding.sequence([*rest, encoding.TRUE])) + BODY[4:6],
            encoding.described(Code.TRANSFER, encoding.sequence([*rest, encoding.FALSE])) + BODY[6:],
        )
        state = client.expect(Code.DISPOSITION)[4]
        assert state == decoding.Described(Code.ACCEPTED, [])
    (entry,) = namespace.source("q").peek(0, 10)
    assert entry.message.bare.endswith(BODY)


def test_an_aborted_delivery_is_forgotten(port: int, namespace: Namespace) -> None:
    """What a client aborts is neither stored nor answered."""
    with connect(port) as client:
        client.attach(0, "q", receives=False)
        head = [encoding.uint(0), encoding.uint(0), encoding.binary(b"t"), NULL, NULL]
        aborted = [*head, encoding.FALSE, NULL, NULL, NULL, encoding.TRUE]
        client.send(
            encoding.described(Code.TRANSFER, encoding.sequence([*head, encoding.TRUE])) + BODY,
            encoding.described(Code.TRANSFER, encoding.sequence(aborted)),
        )
        client.nothing_comes()
    assert namespace.source("q").count() == 0


def test_a_message_that_is_none_is_rejected(port: int) -> None:
    """A payload that is no message is rejected with a reason, and the link works on."""
    with connect(port) as client:
        client.attach(0, "q", receives=False)
        head = [encoding.uint(0), encoding.uint(0), encoding.binary(b"t")]
        client.send(encoding.described(Code.TRANSFER, encoding.sequence(head)) + b"no message")
        state = client.expect(Code.DISPOSITION)[4]
        assert isinstance(state, decoding.Described)
        assert isinstance(state.value, list)
        assert condition(state.value, 0) == "amqp:decode-error"
        client.nothing_comes()


@pytest.mark.parametrize(
    ("state", "echoed", "left"),
    [
        (encoding.described(Code.ACCEPTED, encoding.EMPTY_LIST), Code.ACCEPTED, 0),
        (encoding.described(Code.RELEASED, encoding.EMPTY_LIST), Code.RELEASED, 1),
        (encoding.described(Code.MODIFIED, encoding.EMPTY_LIST), Code.MODIFIED, 1),
        (encoding.described(Code.MODIFIED, encoding.sequence([encoding.TRUE])), Code.MODIFIED, 1),
        (encoding.described(Code.MODIFIED, encoding.sequence([encoding.TRUE] * 2)), Code.MODIFIED, 1),
        (encoding.described(Code.REJECTED, encoding.EMPTY_LIST), Code.REJECTED, 0),
    ],
)
def test_settling_is_echoed_without_details(
    port: int, namespace: Namespace, state: bytes, echoed: Code, left: int
) -> None:
    """Each settlement is answered with the same outcome, bare, for each delivery of the range."""
    queue = fill(namespace, 2)
    with connect(port) as client:
        client.attach(0, "q", receives=True)
        client.flow(0, 2)
        client.expect(Code.TRANSFER)
        client.expect(Code.TRANSFER)
        client.settle(0, state, last=1)
        assert [outcome(client.expect(Code.DISPOSITION)) for _ in range(2)] == [(echoed, [])] * 2
    assert queue.count() == 2 * left


def test_a_settled_release_needs_no_answer(port: int, namespace: Namespace) -> None:
    """What a client hands back as settled is available at once, uncounted and unanswered."""
    fill(namespace, 1)
    with connect(port) as client:
        client.attach(0, "q", receives=True)
        client.flow(0, 1)
        client.expect(Code.TRANSFER)
        client.settle(0, frames.outcome(Code.RELEASED), settled=True)
        client.flow(0, 1, count=1)
        _, _, payload = client.next()
        header = decoding.decode(
            next(value for code, value, _ in sections(payload) if code == Section.HEADER)
        )[0]
        assert isinstance(header, list)
        assert header[4] == 0


def test_an_unknown_delivery_is_a_lost_lock(port: int) -> None:
    """Settling what is not locked on this session is answered at once: a silent broker costs a minute."""
    with connect(port) as client:
        client.attach(0, "q", receives=True)
        client.settle(77, frames.outcome(Code.ACCEPTED))
        descriptor, value = outcome(client.expect(Code.DISPOSITION))
        assert descriptor == Code.REJECTED
        assert isinstance(value, list)
        assert condition(value, 0) == "com.microsoft:message-lock-lost"


FILTER = encoding.mapping([encoding.symbol("apache.org:selector-filter:string"), encoding.string("a = 1")])
SESSION = encoding.mapping([encoding.symbol("com.microsoft:session-filter"), NULL])


@pytest.mark.parametrize(
    ("address", "receives", "filters", "expected"),
    [
        ("nowhere", True, NULL, "amqp:not-found"),
        ("nowhere/$management", False, NULL, "amqp:not-found"),
        ("q", True, FILTER, "amqp:not-implemented"),
        ("q", True, SESSION, "amqp:not-allowed"),
        ("q/$DeadLetterQueue", False, NULL, "amqp:not-allowed"),
        ("t", True, NULL, "amqp:not-allowed"),
    ],
)
def test_what_is_not_offered_is_refused(
    port: int, address: str, *, receives: bool, filters: bytes, expected: str
) -> None:
    """A link that cannot be is refused with empty ends and a reason; what came on it meanwhile is ignored."""
    with connect(port) as client:
        attached = client.attach(0, address, receives=receives, filters=filters)
        assert attached[5:7] == [None, None]
        detached = client.expect(Code.DETACH)
        assert detached[:2] == [0, True]
        assert condition(detached, 2) == expected
        client.flow(0, 10)
        client.send(frames.detach(0))
        client.nothing_comes()


def test_transactions_are_refused(port: int) -> None:
    """A link to a coordinator of transactions is refused as such, rather than given and ignored."""
    with connect(port) as client:
        assert client.attach(0, "", receives=False, coordinator=True)[5:7] == [None, None]
        detached = client.expect(Code.DETACH)
        assert condition(detached, 2) == "amqp:not-implemented"
        assert "transactions are not supported" in str(detached[2])


PROPERTIES = [encoding.symbol("n"), encoding.long(7), encoding.string("text"), encoding.string("new")]
WHY = encoding.described(0x1D, encoding.sequence([encoding.symbol("x"), NULL, encoding.mapping(PROPERTIES)]))


@pytest.mark.parametrize(
    ("state", "place"),
    [
        (
            encoding.described(Code.MODIFIED, encoding.sequence([NULL, NULL, encoding.mapping(PROPERTIES)])),
            "q",
        ),
        (
            encoding.described(
                Code.MODIFIED, encoding.sequence([NULL, encoding.TRUE, encoding.mapping(PROPERTIES)])
            ),
            "q",
        ),
        (encoding.described(Code.REJECTED, encoding.sequence([WHY])), "q/$DeadLetterQueue"),
    ],
)
def test_properties_change_byte_for_byte(port: int, namespace: Namespace, state: bytes, place: str) -> None:
    """What a settlement changes is what it says, types and all, and the queue knows its new size."""
    fill(namespace, 1)
    with connect(port) as client:
        client.attach(0, "q", receives=True)
        client.flow(0, 1)
        client.expect(Code.TRANSFER)
        client.settle(0, state)
        assert outcome(client.expect(Code.DISPOSITION))[0] == state[2]
    (entry,) = namespace.source(place).peek(0, 10)
    told = dict(slicing.pairs(next(value for code, value, _ in sections(entry.message.bare) if code == 0x74)))
    assert told[encoding.string("n")] == encoding.long(7)
    assert told[encoding.string("text")] == encoding.string("new")
    assert namespace.source(place).size == entry.message.size


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([encoding.symbol("n"), encoding.EMPTY_LIST], "com.microsoft:argument-error"),
        ([encoding.uint(1), encoding.TRUE], "amqp:decode-error"),
        ([encoding.symbol("n"), encoding.string("x" * 1000)], "amqp:link:message-size-exceeded"),
    ],
)
def test_properties_that_cannot_be_leave_the_lock(
    port: int, namespace: Namespace, changes: list[bytes], expected: str
) -> None:
    """A change that no message can have is refused, and the message stays locked as it was."""
    fill(namespace, 1, encoding.described(Section.DATA, encoding.binary(bytes(262_000))))
    with connect(port) as client:
        client.attach(0, "q", receives=True)
        client.flow(0, 1)
        state = encoding.described(Code.MODIFIED, encoding.sequence([NULL, NULL, encoding.mapping(changes)]))
        client.settle(0, state)
        _, value = outcome(client.until(Code.DISPOSITION))
        assert isinstance(value, list)
        assert condition(value, 0) == expected
        client.settle(0, frames.outcome(Code.ACCEPTED))
        assert outcome(client.until(Code.DISPOSITION))[0] == Code.ACCEPTED
    assert namespace.source("q").count() == 0


@pytest.mark.parametrize(
    "address", ["q", "Q/", "amqps://localhost/q", "amqps://localhost:5672/Q", "amqps://[x/q"]
)
def test_addresses_are_paths_or_uris_in_any_case(port: int, address: str) -> None:
    """The SDKs name entities in different ways; all lead to the queue."""
    with connect(port) as client:
        assert client.attach(0, address, receives=True)[5] is not None


def test_a_detached_link_keeps_its_locks(port: int, namespace: Namespace) -> None:
    """Closing a link or a connection neither releases nor counts what it had locked."""
    queue = fill(namespace, 1)
    with connect(port) as client:
        client.attach(0, "q", receives=True)
        client.flow(0, 1)
        client.expect(Code.TRANSFER)
        client.send(frames.detach(0))
        client.expect(Code.DETACH)
        client.send(frames.end())
        client.expect(Code.END)
        client.send(frames.detach(0))
        client.send(frames.close(), channel=0)
        client.expect(Code.CLOSE)
        assert client.read(1) == b""
    assert queue.count(State.LOCKED) == 1


def test_competing_receivers_take_turns(port: int, namespace: Namespace) -> None:
    """Two receivers with credit share what comes, and each message goes to one."""
    with connect(port) as one, connect(port) as two:
        for client in (one, two):
            client.attach(0, "q", receives=True)
            client.flow(0, 10)
            client.nothing_comes()
        with connect(port) as sender:
            sender.attach(0, "q", receives=False)
            head = [encoding.uint(0), encoding.uint(0), encoding.binary(b"t"), NULL, encoding.TRUE]
            sender.send(*[encoding.described(Code.TRANSFER, encoding.sequence(head)) + BODY] * 4)
            sender.nothing_comes()
        for client in (one, two):
            client.expect(Code.TRANSFER)
            client.expect(Code.TRANSFER)
            client.nothing_comes()


def test_the_end_waits_for_nobody_and_is_told(namespace: Namespace) -> None:
    """With clients connected the broker ends without waiting for them, and they learn why."""
    with in_thread(lambda: serve(namespace)) as environment:
        client = Client(port_of(environment))
        client.open()
    with client.socket:
        assert condition(client.expect(Code.CLOSE), 0) == "amqp:connection:forced"


def test_the_program_announces_itself_and_ends_with_its_parent() -> None:
    """The program tells where it listens and ends when its standard input does."""
    command = [sys.executable, "-m", "local.service_bus", "--port", "0", "--until-stdin-closes"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        environment = json.loads(process.stdout.readline())["environment"]
        assert "UseDevelopmentEmulator=true" in environment["ServiceBus"]
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def test_a_bad_file_of_entities_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The program says in one line what is wrong with the entities, and ends with 2."""
    path = tmp_path / "entities.json"
    path.write_text('{"queues": [{"name": "q", "properties": {"lockDuration": "soon"}}]}')
    assert program.main(["--entities", str(path)]) == 2
    assert capsys.readouterr().err == f"{path}: q: lockDuration should be a duration such as PT1M\n"
