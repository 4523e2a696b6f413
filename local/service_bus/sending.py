"""The two kinds of links over which clients receive: deliveries of a queue, responses of a node."""

from abc import abstractmethod
from collections import deque

from local.service_bus import decoding, frames
from local.service_bus.deliveries import render
from local.service_bus.dispatch import Dispatcher
from local.service_bus.entities import Entry
from local.service_bus.errors import Condition, Refusal
from local.service_bus.links import Channel, Link, Terms
from local.service_bus.performatives import Flow, Transfer
from local.service_bus.settlement import settle

# Responses that wait for a client's credit: some pages of messages, or many short ones.
_MOST_WAITING = 2**20
_MOST_RESPONSES = 1000


class SendingLink(Link):
    """A client receives, as much as its credit allows."""

    def __init__(self, channel: Channel, terms: Terms) -> None:
        super().__init__(channel, terms)
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
            self.channel.send_flow((self.terms.handle, self._delivery_count, self._credit))

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
            self.channel.send_flow((self.terms.handle, self._delivery_count, 0), drain=True)

    def close(self) -> None:
        """Send no more."""
        super().close()
        self._credit = 0

    @abstractmethod
    def _send_waiting(self) -> None:
        """Send what there is, as far as it goes."""

    def _transfer(self, tag: bytes, payload: bytes, *, settled: bool) -> int:
        self.touch()
        self._credit -= 1
        self._delivery_count += 1
        return self.channel.transfer(self.terms.handle, tag, payload, settled=settled)


class ResponseLink(SendingLink):
    """Carries the responses of a node; `address` is where the client receives them."""

    def __init__(self, channel: Channel, terms: Terms, address: str) -> None:
        super().__init__(channel, terms)
        self.address = address
        self._waiting: deque[bytes] = deque()

    def check_room(self) -> None:
        """Refuse one more request of a client that does not take its responses.

        Raises:
            Refusal: Too much waits for it.
        """
        if sum(map(len, self._waiting)) > _MOST_WAITING or len(self._waiting) > _MOST_RESPONSES:
            raise Refusal(Condition.QUOTA_EXCEEDED, "too many responses wait for their receiver")

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
        self, channel: Channel, terms: Terms, dispatcher: Dispatcher, *, settles_at_once: bool
    ) -> None:
        super().__init__(channel, terms)
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

    def delivered(self, delivery_id: int) -> bool:
        """Tell whether a delivery came over this link and is not settled yet."""
        return delivery_id in self._tokens

    def settle(self, delivery_id: int, state: decoding.Described, raw: bytes) -> bytes:
        """Settle a delivery of this link; return the encoded outcome.

        Raises:
            Refusal: The queue refuses.
        """
        self.touch()
        outcome = settle(self._dispatcher.queue, self._tokens[delivery_id], state, raw)
        del self._tokens[delivery_id]
        return outcome

    def close(self) -> None:
        """Send no more; what is locked stays so until its lock expires."""
        super().close()
        self._dispatcher.remove(self)

    def _send_waiting(self) -> None:
        self._dispatcher.dispatch()
