"""A client that speaks AMQP by hand, for what no SDK would say."""

import re
import socket
import ssl
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from local.service_bus import decoding, encoding, frames
from local.service_bus.message import Section, sections
from local.service_bus.performatives import Code
from local.service_bus.tokens import KEY, POLICY

NULL = encoding.NULL
# The broker lets in whoever has the key, to do everything; the anonymous have to show a token.
PLAIN = (encoding.symbol("PLAIN"), encoding.binary(f"\0{POLICY}\0{KEY}".encode()))
ANONYMOUS = (encoding.symbol("ANONYMOUS"),)


def port_of(environment: Mapping[str, str]) -> int:
    """Return where a broker listens."""
    found = re.search(r"localhost:(\d+)", environment["ServiceBus"])
    assert found is not None
    return int(found[1])


class Client:
    """A client that says exactly what a test wants said."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self._received = b""
        self._shows_tokens = False

    def send(self, *bodies: bytes, channel: int = 1) -> None:
        """Send frames in one write."""
        self.socket.sendall(b"".join(frames.frame(channel, body) for body in bodies))

    def read(self, size: int) -> bytes:
        """Return so many bytes; fewer when the broker ends the connection."""
        while len(self._received) < size:
            data = self.socket.recv(65536)
            if not data:
                break
            self._received += data
        data, self._received = self._received[:size], self._received[size:]
        return data

    def next(self) -> tuple[int, list[object], bytes]:
        """Return the code, the fields and the payload of the next frame."""
        (size,) = struct.unpack(">I", self.read(4))
        body = self.read(size - 4)[4:]
        if not body:
            return -1, [], b""
        fields, at = decoding.fields(body)
        return body[2], fields, body[at:]

    def expect(self, code: Code) -> list[object]:
        """Return the fields of the next frame, which must be of that kind."""
        got, fields, _ = self.next()
        assert got == code, f"{got:#x} {fields}"
        return fields

    def until(self, code: Code) -> list[object]:
        """Return the fields of the next frame of a kind, whatever comes before it."""
        while True:
            got, fields, _ = self.next()
            if got == code:
                return fields

    def open(
        self,
        *,
        max_frame_size: bytes = NULL,
        idle_timeout: bytes = NULL,
        window: int = 1000,
        mechanism: Sequence[bytes] = PLAIN,
    ) -> list[object]:
        """Get through the handshake as the SDKs do; begin a session on channel 1.

        Return the fields of the broker's open.
        """
        fields = [encoding.string("test"), NULL, max_frame_size, NULL, idle_timeout]
        opening = encoding.described(Code.OPEN, encoding.sequence(fields))
        assert self.sasl(mechanism) == [0]
        self.socket.sendall(frames.AMQP_HEADER)
        self.send(opening, channel=0)
        begin = [NULL, encoding.uint(0), encoding.uint(window), encoding.uint(1000)]
        self.send(encoding.described(Code.BEGIN, encoding.sequence(begin)))
        assert self.read(8) == frames.AMQP_HEADER
        opened = self.expect(Code.OPEN)
        assert self.expect(Code.BEGIN)[0] == 1
        return opened

    def sasl(self, mechanism: Sequence[bytes]) -> list[object]:
        """Say who one is; return the fields of the outcome."""
        init = encoding.described(Code.SASL_INIT, encoding.sequence(mechanism))
        self.socket.sendall(frames.SASL_HEADER + frames.frame(0, init, sasl=True))
        assert self.read(8) == frames.SASL_HEADER
        assert self.expect(Code.SASL_MECHANISMS) == [["MSSBCBS", "ANONYMOUS", "PLAIN", "EXTERNAL"]]
        return self.expect(Code.SASL_OUTCOME)

    def attach(
        self, handle: int, address: str, *, receives: bool, filters: bytes = NULL, coordinator: bool = False
    ) -> list[object]:
        """Ask for a link; return the fields of the broker's attach."""
        near = encoding.described(0x29, encoding.sequence([encoding.string("me")]))
        far = [encoding.string(address), *[NULL] * 6, filters]
        away = encoding.described(0x28, encoding.sequence(far))
        if coordinator:
            away = encoding.described(0x30, encoding.EMPTY_LIST)
        fields = [
            encoding.string(f"link-{handle}"),
            encoding.uint(handle),
            encoding.boolean(receives),
            NULL,
            NULL,
        ]
        fields += [away, near] if receives else [near, away]
        self.send(encoding.described(Code.ATTACH, encoding.sequence(fields)))
        attached = self.expect(Code.ATTACH)
        assert attached[:3] == [f"link-{handle}", handle, not receives]
        if not receives and attached[5] is not None:
            assert self.expect(Code.FLOW)[4] == handle
        return attached

    def put_token(self, token: str, resource: str) -> tuple[object, object]:
        """Show a token; return status and description of the answer."""
        return self.put(encoding.string(token), encoding.string(resource))

    def put(self, token: bytes, resource: bytes) -> tuple[object, object]:
        """Show what may be no token over links on handles 100 and 101; return what comes of it."""
        if not self._shows_tokens:
            self.attach(100, "$cbs", receives=False)
            self.attach(101, "$cbs", receives=True)
            self.flow(101, 100)
            self._shows_tokens = True
        told = [encoding.string(each) for each in ("operation", "put-token", "name")]
        payload = [
            encoding.described(Section.PROPERTIES, encoding.sequence([encoding.string("m")])),
            encoding.described(Section.APPLICATION_PROPERTIES, encoding.mapping([*told, resource])),
            encoding.described(Section.VALUE, token),
        ]
        self.transfer(100, b"".join(payload), settled=True)
        code, _, answer = self.next()
        assert code == Code.TRANSFER
        raw = {code: value for code, value, _ in sections(answer)}
        given = decoding.decode(raw[Section.APPLICATION_PROPERTIES])[0]
        assert isinstance(given, dict)
        return given["status-code"], given["status-description"]

    def transfer(
        self, handle: int, payload: bytes, *, delivery_id: int = 0, settled: bool = False, more: bool = False
    ) -> None:
        """Send a delivery, or one frame of it."""
        fields = [encoding.uint(handle), encoding.uint(delivery_id), encoding.binary(b"t"), NULL]
        fields += [encoding.boolean(settled), encoding.boolean(more)]
        self.send(encoding.described(Code.TRANSFER, encoding.sequence(fields)) + payload)

    def detach(self, handle: int) -> None:
        """Give a link up."""
        self.send(frames.detach(handle))
        assert self.expect(Code.DETACH)[0] == handle

    def flow(self, handle: int | None, credit: int = 0, **given: int) -> None:
        """Give credit, and say how much of the session's window is open."""
        fields = [encoding.uint(given.get("next_id", 0)), encoding.uint(given.get("window", 1000))]
        fields += [encoding.uint(0), encoding.uint(1000)]
        fields += [NULL if handle is None else encoding.uint(handle), encoding.uint(given.get("count", 0))]
        fields += [encoding.uint(credit), NULL]
        fields += [encoding.boolean(bool(given.get("drain"))), encoding.boolean(bool(given.get("echo")))]
        self.send(encoding.described(Code.FLOW, encoding.sequence(fields)))

    def settle(self, first: int, state: bytes, *, last: int | None = None, settled: bool = False) -> None:
        """Say what became of deliveries."""
        fields = [encoding.TRUE, encoding.uint(first), NULL if last is None else encoding.uint(last)]
        fields += [encoding.boolean(settled), state]
        self.send(encoding.described(Code.DISPOSITION, encoding.sequence(fields)))

    def nothing_comes(self) -> None:
        """Check that the broker has nothing more to say, by asking for something it must answer."""
        self.flow(None, echo=1)
        self.expect(Code.FLOW)


@contextmanager
def connect(port: int, *, window: int = 1000, **options: int) -> Iterator[Client]:
    """Connect and open."""
    client = Client(port)
    with client.socket:
        client.open(
            window=window,
            max_frame_size=_uint(options.get("max_frame_size")),
            idle_timeout=_uint(options.get("idle_timeout")),
        )
        yield client


def _uint(value: int | None) -> bytes:
    return NULL if value is None else encoding.uint(value)


def condition(fields: Sequence[object], index: int) -> object:
    """Return the condition of an error among the fields; it must have all three parts, or the SDK hangs."""
    error = fields[index]
    assert isinstance(error, decoding.Described)
    assert isinstance(error.value, list)
    assert len(error.value) == 3
    return error.value[0]


def outcome(fields: Sequence[object]) -> tuple[object, object]:
    """Return which outcome a disposition tells and what it holds."""
    role, first, last, settled, state = fields
    assert (role, settled, first) == (False, True, last)
    assert isinstance(state, decoding.Described)
    return state.descriptor, state.value
