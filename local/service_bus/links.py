"""Links, and the kind over which clients send (OASIS AMQP 1.0, part 2, sections 2.6 and 2.7).

Named from the broker's side: over a `ReceivingLink` a client sends, over a `SendingLink` it receives.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, Protocol

from local.service_bus import frames
from local.service_bus.errors import Malformed, Refusal
from local.service_bus.performatives import Code, Flow, Transfer
from local.service_bus.rules import MAX_MESSAGE_SIZE, check_size
from local.service_bus.watch import Watch

_CREDIT = 1000
_ACCEPTED = frames.outcome(Code.ACCEPTED)


class Channel(Protocol):
    """What a link needs of its session."""

    @property
    def blocked(self) -> bool:
        """Whether nothing can be sent for now: the window is used up, or the client reads too slowly."""
        ...

    def send(self, body: bytes) -> None:
        """Send a frame."""
        ...

    def send_flow(self, link: tuple[int, int, int], *, drain: bool = False) -> None:
        """Send a flow for a link: handle, delivery count, credit."""
        ...

    def transfer(self, handle: int, tag: bytes, payload: bytes, *, settled: bool) -> int:
        """Send a delivery in as many frames as it needs; return its id."""
        ...

    def flush(self) -> None:
        """Hand everything sent so far to the network."""
        ...


class Terms(NamedTuple):
    """What a link was agreed to be; the path is that of its address, in lower case."""

    name: str
    handle: int
    path: str


class Link(ABC):
    """One end of a link."""

    def __init__(self, channel: Channel, terms: Terms) -> None:
        self.channel = channel
        self.terms = terms
        self._watch: Watch | None = None

    def watch(self, seconds: float, expired: Callable[[], object]) -> None:
        """Call back once the link has not been used for some time."""
        self._watch = Watch(seconds, expired)

    def touch(self) -> None:
        """Note that the link is used."""
        if self._watch is not None:
            self._watch.touch()

    def close(self) -> None:
        """Let go of what the link holds."""
        if self._watch is not None:
            self._watch.stop()

    @abstractmethod
    def on_flow(self, flow: Flow) -> None:
        """Take note of what the client can take or send."""

    @abstractmethod
    def on_transfer(self, transfer: Transfer) -> None:
        """Take one frame of a delivery."""

    @abstractmethod
    def pump(self) -> None:
        """Send what waits, after the way became free."""


class ReceivingLink(Link):
    """A client sends; each delivery is put together and handed to `take`, whose refusal rejects it."""

    def __init__(self, channel: Channel, terms: Terms, take: Callable[[bytes, int], None]) -> None:
        super().__init__(channel, terms)
        self._take = take
        self._received = 0
        self._granted = 0
        self._delivery_id: int | None = None
        self._message_format = 0
        self._parts: list[bytes] = []
        self._size = 0

    def grant(self) -> None:
        """Give the client credit up to the usual amount."""
        self._granted = _CREDIT
        self.channel.send_flow((self.terms.handle, self._received, _CREDIT))

    def on_flow(self, flow: Flow) -> None:
        """Answer if asked; a sender's own credit says nothing here, yet the Python SDK sends some."""
        if flow.echo:
            self.grant()

    def on_transfer(self, transfer: Transfer) -> None:
        """Take one frame of a delivery; frames after the first may or may not repeat its id."""
        if self._delivery_id is None:
            if transfer.delivery_id is None:
                raise Malformed("the first frame of a delivery has no delivery id")
            self._delivery_id, self._message_format = transfer.delivery_id, transfer.message_format
        self._size += len(transfer.payload)
        if self._size <= MAX_MESSAGE_SIZE:
            self._parts.append(transfer.payload)
        if transfer.aborted or not transfer.more:
            self._finish(transfer)

    def _finish(self, last: Transfer) -> None:
        payload, size, delivery_id = b"".join(self._parts), self._size, self._delivery_id
        assert delivery_id is not None
        self._parts, self._size, self._delivery_id = [], 0, None
        self._count()
        if not last.aborted:
            state = self._outcome(payload, size)
            if not last.settled:
                self.channel.send(frames.disposition(delivery_id, state, by_receiver=True))

    def _count(self) -> None:
        self._received += 1
        self._granted -= 1
        if self._granted < _CREDIT // 2:
            self.grant()

    def _outcome(self, payload: bytes, size: int) -> bytes:
        try:
            check_size(size)
            self._take(payload, self._message_format)
        except Refusal as refusal:
            return frames.rejected(refusal)
        return _ACCEPTED

    def pump(self) -> None:
        """Nothing waits here."""
