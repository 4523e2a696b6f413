"""The two kinds of links and their credit (OASIS AMQP 1.0, part 2, sections 2.6 and 2.7).

Named from the broker's side: over a `ReceivingLink` a client sends, over a `SendingLink` it receives.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Protocol

from local.service_bus import decoding, frames
from local.service_bus.deliveries import render
from local.service_bus.dispatch import Dispatcher
from local.service_bus.entities import Entry
from local.service_bus.errors import Condition, Malformed, Refusal
from local.service_bus.performatives import Code, Flow, Transfer
from local.service_bus.settlement import settle

# Service Bus, Standard tier.
MAX_MESSAGE_SIZE = 262144
_CREDIT = 1000
_ACCEPTED = frames.outcome(Code.ACCEPTED)


def check_size(size: int) -> None:
    """Refuse more bytes than a message may have."""
    if size > MAX_MESSAGE_SIZE:
        text = f"{size} bytes are more than the {MAX_MESSAGE_SIZE} that a message may have"
        raise Refusal(Condition.MESSAGE_TOO_LARGE, text)


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


class ReceivingLink:
    """A client sends; each delivery is put together and handed to `take`, whose refusal rejects it."""

    def __init__(self, channel: Channel, handle: int, take: Callable[[bytes, int], None]) -> None:
        self._channel = channel
        self._handle = handle
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
        self._channel.send_flow((self._handle, self._received, _CREDIT))

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
        if not last.aborted:
            state = self._outcome(payload, size)
            if not last.settled:
                self._channel.send(frames.disposition(delivery_id, state, by_receiver=True))
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

    def close(self) -> None:
        """Nothing is held here."""


class SendingLink(ABC):
    """A client receives, as much as its credit allows."""

    def __init__(self, channel: Channel, handle: int) -> None:
        self.channel = channel
        self.handle = handle
        self._delivery_count = 0
        self._credit = 0
        self._drain = False

    @property
    def ready(self) -> bool:
        """Whether a delivery could be sent now."""
        return self._credit > 0 and not self.channel.blocked

    def on_flow(self, flow: Flow) -> None:
        """Take over the client's credit, which is absolute, and use it."""
        self._credit = (flow.delivery_count + flow.link_credit - self._delivery_count) & 0xFFFFFFFF
        if self._credit > frames.WINDOW:
            # The client counted before it saw our latest deliveries: more are under way than it still wants.
            self._credit = 0
        self._drain = flow.drain
        self.pump()
        if flow.echo and not flow.drain:
            self.channel.send_flow((self.handle, self._delivery_count, self._credit))

    def on_transfer(self, transfer: Transfer) -> None:
        """Refuse: over this link the broker sends."""
        raise Refusal(Condition.NOT_ALLOWED, f"handle {transfer.handle} belongs to a link of a receiver")

    def pump(self) -> None:
        """Send what waits; use up the rest of the credit if the client asked for that."""
        self._send_waiting()
        if self._drain and not self.channel.blocked:
            self._drain = False
            self._delivery_count += self._credit
            self._credit = 0
            self.channel.send_flow((self.handle, self._delivery_count, 0), drain=True)

    def close(self) -> None:
        """Send no more."""
        self._credit = 0

    @abstractmethod
    def _send_waiting(self) -> None:
        """Send what there is, as far as it goes."""

    def _transfer(self, tag: bytes, payload: bytes, *, settled: bool) -> int:
        self._credit -= 1
        self._delivery_count += 1
        return self.channel.transfer(self.handle, tag, payload, settled=settled)


class ResponseLink(SendingLink):
    """Carries the responses of a management node."""

    def __init__(self, channel: Channel, handle: int, node: str, address: str) -> None:
        super().__init__(channel, handle)
        self.node = node
        self.address = address
        self._waiting: deque[bytes] = deque()

    def respond(self, payload: bytes) -> None:
        """Send a response as soon as the client takes it."""
        self._waiting.append(payload)
        self._send_waiting()

    def _send_waiting(self) -> None:
        while self._waiting and self.ready:
            self._transfer(b"response", self._waiting.popleft(), settled=True)


class DeliveryLink(SendingLink):
    """Carries the messages of a queue: locked until the client settles them, or settled at once."""

    def __init__(
        self, channel: Channel, handle: int, dispatcher: Dispatcher, *, settles_at_once: bool
    ) -> None:
        super().__init__(channel, handle)
        self.settles_at_once = settles_at_once
        self._dispatcher = dispatcher
        self._tokens: dict[int, bytes] = {}
        dispatcher.add(self)

    def deliver(self, entry: Entry) -> None:
        """Send a message; peek-locked, its delivery tag is the lock token."""
        locked = not self.settles_at_once
        tag = entry.lock_token if locked else b"\x00" * 16
        delivery_id = self._transfer(tag, render(entry, locked=locked), settled=not locked)
        if locked:
            self._tokens[delivery_id] = tag

    def flush(self) -> None:
        """Hand the deliveries to the network."""
        self.channel.flush()

    def settle(self, delivery_id: int, state: decoding.Described) -> bytes | None:
        """Settle a delivery; return the encoded outcome, or None if it is not one of this link.

        Raises:
            Refusal: The queue refuses.
        """
        token = self._tokens.get(delivery_id)
        if token is None:
            return None
        outcome = settle(self._dispatcher.queue, token, state)
        del self._tokens[delivery_id]
        return outcome

    def close(self) -> None:
        """Send no more; what is locked stays so until its lock expires."""
        super().close()
        self._dispatcher.remove(self)

    def _send_waiting(self) -> None:
        self._dispatcher.dispatch()
