"""One client's connection: protocol headers, SASL, frames, heartbeats (OASIS AMQP 1.0, parts 2 and 5)."""

import asyncio
import logging
import struct

from local.service_bus import frames
from local.service_bus.broker import Broker
from local.service_bus.decoding import fields, optional, required
from local.service_bus.errors import Condition, Malformed, Refusal
from local.service_bus.frames import AMQP_HEADER, HIGHEST_CHANNEL, MAX_FRAME_SIZE, SASL_HEADER, frame
from local.service_bus.lifetime import Lifetime
from local.service_bus.performatives import Code
from local.service_bus.sessions import Session
from local.service_bus.tokens import EVERYTHING, Claims

_LOGGER = logging.getLogger(__name__)
_HEAD = struct.Struct(">IBBH")
_SMALLEST_FRAME_SIZE = 512
_SASL = 1
# What is sent goes to the network at least this often, so that a client which reads slowly is noticed.
_ENOUGH = 65536


class Connection(asyncio.BufferedProtocol):
    """Speaks with one client; whatever goes wrong ends this connection only."""

    def __init__(self, broker: Broker, connections: "set[Connection]") -> None:
        self._broker = broker
        self._connections = connections
        self.max_frame_size = MAX_FRAME_SIZE
        self.congested = False
        self._sessions: dict[int, Session] = {}
        self._transport: asyncio.Transport | None = None
        self._awaits_header = True
        self._opened = False
        # Kept, for a fresh buffer per read would cost more than all other work on a message.
        self._buffer = memoryview(bytearray(2 * MAX_FRAME_SIZE))
        self._filled = 0
        self._outgoing: list[bytes] = []
        self._outgoing_size = 0
        self._silent = False
        self._lifetime = Lifetime(self, broker)
        self.claims = Claims(lambda: self._lifetime.expect_expiry(self.claims))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to serve."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything; locks stay until they expire."""
        if exc is not None:
            _LOGGER.debug("connection lost: %s", exc)
        self._end()

    def pause_writing(self) -> None:
        """Deliver nothing more while the client reads too slowly, and hear no more that wants an answer."""
        self.congested = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Deliver and hear again."""
        self.congested = self._silent
        if self._transport is not None:
            self._transport.resume_reading()
        for session in list(self._sessions.values()):
            session.pump()
        self.flush()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the signature is asyncio's
        """Return where to put what comes next."""
        return self._buffer[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Do what all complete frames ask, and keep the rest for later."""
        if self._silent:
            return
        self._lifetime.heard()
        data = bytes(self._buffer[: self._filled + nbytes])
        try:
            rest = data[self._consume(data) :]
            self._filled = len(rest)
            self._buffer[: self._filled] = rest
        except Refusal as refusal:
            self.close(refusal)
        except Exception:
            _LOGGER.exception("a bug in the broker ends a connection")
            self.close(Refusal(Condition.INTERNAL_ERROR, "the broker failed: its log tells why"))
        self.flush()

    def send(self, channel: int, body: bytes) -> None:
        """Send a frame, with the next flush at the latest."""
        self._outgoing.append(frame(channel, body))
        self._outgoing_size += len(body)
        if self._outgoing_size > _ENOUGH:
            self.flush()

    def flush(self) -> None:
        """Hand everything sent so far to the network."""
        if self._outgoing and self._transport is not None and not self._silent:
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()
        self._outgoing_size = 0

    def fall_silent(self) -> None:
        """Say nothing any more, not even heartbeats, and hear nothing: as if the network were cut."""
        self._silent = self.congested = True

    def recount(self) -> None:
        """Look whether any link is left."""
        self._lifetime.used(used=any(session.in_use for session in self._sessions.values()))

    def beat(self) -> None:
        """Send a heartbeat."""
        if self._transport is not None and not self._silent:
            self._transport.write(frames.HEARTBEAT)

    def renew_claims(self) -> None:
        """End every link that the client's tokens do not cover any more."""
        for session in self._sessions.values():
            session.renew_claims()
        self.flush()

    def give_up(self, refusal: Refusal) -> None:
        """End the connection of a client that seems dead: with the reason, if it takes what is sent to it."""
        if self._transport is not None and self._transport.get_write_buffer_size():
            self._transport.abort()
            self._end()
        self.close(refusal)

    def close(self, refusal: Refusal | None = None) -> None:
        """End the connection, with the reason if it is not the client's wish."""
        if self._transport is None:
            return
        if self._opened:
            self.send(0, frames.close(refusal))
        self.flush()
        self._transport.close()
        self._end()

    def _end(self) -> None:
        self._transport = None
        self._connections.discard(self)
        self._lifetime.end()
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def _consume(self, data: bytes) -> int:
        at, size = 0, len(data)
        while size - at >= _HEAD.size and self._transport is not None and not self._silent:
            if self._awaits_header:
                self._on_header(data[at : at + 8])
                at += 8
                continue
            length, offset, kind, channel = _HEAD.unpack_from(data, at)
            start, end = at + 4 * offset, at + length
            if length > MAX_FRAME_SIZE or offset < 2 or start > end:
                raise Malformed("a frame has an impossible size", Condition.FRAMING_ERROR)
            if end > size:
                break
            self._on_frame(kind, channel, data[start:end])
            at = end
        return at

    def _on_header(self, header: bytes) -> None:
        self._awaits_header = False
        if header == SASL_HEADER:
            self._outgoing += (SASL_HEADER, frame(0, frames.sasl_mechanisms(), sasl=True))
        elif header == AMQP_HEADER:
            self._outgoing.append(AMQP_HEADER)
        else:
            # Whoever speaks another protocol is told the right one and let go (part 2, section 2.2).
            self._outgoing.append(SASL_HEADER)
            self.close()

    def _on_frame(self, kind: int, channel: int, body: bytes) -> None:
        if not body:
            return
        if body[:2] != b"\x00\x53" or len(body) < 4:
            raise Malformed("a frame does not begin with a performative")
        if kind == _SASL:
            self._on_sasl(body)
        elif body[2] == Code.OPEN:
            self._on_open(fields(body)[0])
        elif self._opened:
            self._on_performative(channel, body[2], body)
        else:
            raise Refusal(Condition.NOT_ALLOWED, "the first frame of a connection should be an open")

    def _on_performative(self, channel: int, code: int, body: bytes) -> None:
        if code == Code.CLOSE:
            self.close()
        elif code == Code.BEGIN:
            self._on_begin(channel, fields(body)[0])
        elif code == Code.END:
            self._on_end(channel)
        elif channel in self._sessions:
            self._sessions[channel].receive(code, body)
        elif code != Code.DETACH:
            # The Python SDK detaches its links after the end of their session; nothing else may come there.
            raise Refusal(Condition.NOT_ALLOWED, f"channel {channel} has no session")

    def _on_sasl(self, body: bytes) -> None:
        if body[2] != Code.SASL_INIT or self._opened:
            raise Malformed("expected the client to choose a SASL mechanism")
        mechanism, response = required(fields(body)[0], 0, str), optional(fields(body)[0], 1, bytes)
        welcome = mechanism != "PLAIN" or self._knows(response or b"")
        self._outgoing.append(frame(0, frames.sasl_outcome(welcome=welcome), sasl=True))
        self._awaits_header = True
        if not welcome:
            self.close()

    def _knows(self, response: bytes) -> bool:
        """Tell whether somebody is known by name and key (RFC 4616), which let him do everything."""
        _, _, rest = response.partition(b"\x00")
        policy, _, key = rest.partition(b"\x00")
        known = self._broker.authority.knows(policy, key)
        if known:
            self.claims.add(EVERYTHING)
        return known

    def _on_open(self, opening: list[object]) -> None:
        if self._opened:
            raise Refusal(Condition.NOT_ALLOWED, "the connection is open already")
        self._opened = True
        size = optional(opening, 2, int)
        if size is not None:
            self.max_frame_size = min(MAX_FRAME_SIZE, max(size, _SMALLEST_FRAME_SIZE))
        self.send(0, frames.open_("service-bus", self._broker.patience.peer / 2))
        idle_timeout = optional(opening, 4, int)
        if idle_timeout:
            self._lifetime.keep_alive(idle_timeout / 1000 / 2)

    def _on_begin(self, channel: int, begin: list[object]) -> None:
        if channel in self._sessions or channel > HIGHEST_CHANNEL:
            raise Refusal(Condition.NOT_ALLOWED, f"channel {channel} is taken or too high")
        self._sessions[channel] = Session(self, self._broker, channel, begin)
        self.send(channel, frames.begin(channel))

    def _on_end(self, channel: int) -> None:
        session = self._sessions.pop(channel, None)
        if session is not None:
            session.close()
            self.send(channel, frames.end())
            self.recount()
