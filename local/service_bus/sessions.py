"""A session: its windows and its links (OASIS AMQP 1.0, part 2, sections 2.5 to 2.7)."""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from local.service_bus import decoding, frames
from local.service_bus.attaching import Link, build
from local.service_bus.broker import Broker
from local.service_bus.decoding import required
from local.service_bus.errors import Condition, Malformed, Refusal
from local.service_bus.links import MAX_MESSAGE_SIZE, DeliveryLink, ReceivingLink
from local.service_bus.performatives import Attach, Code, Disposition, Flow, Transfer

# Far more than any client has under way, and few enough to walk through.
_MAX_RANGE = 65536
# What a transfer frame has around its payload is shorter.
_TRANSFER_OVERHEAD = 64


class Connection(Protocol):
    """What a session needs of its connection."""

    max_frame_size: int
    congested: bool

    def send(self, channel: int, body: bytes) -> None:
        """Send a frame."""
        ...

    def flush(self) -> None:
        """Hand everything sent so far to the network."""
        ...


class Session:
    """One session of a client; implements what the links need as their `Channel`."""

    def __init__(self, connection: Connection, broker: Broker, channel: int, begin: Sequence[object]) -> None:
        self._connection = connection
        self._broker = broker
        self._channel = channel
        self._links: dict[int, Link] = {}
        # A client may have sent more on a link before it learns that it was refused.
        self._refused: set[int] = set()
        self._next_incoming_id = required(begin, 1, int)
        self._window = required(begin, 2, int)
        self._next_outgoing_id = 0
        self._next_delivery_id = 0
        self._backlog: deque[bytes] = deque()

    @property
    def blocked(self) -> bool:
        """Whether nothing can be sent for now."""
        return self._window <= 0 or bool(self._backlog) or self._connection.congested

    def send(self, body: bytes) -> None:
        """Send a frame on this session's channel."""
        self._connection.send(self._channel, body)

    def flush(self) -> None:
        """Hand everything sent so far to the network."""
        self._connection.flush()

    def send_flow(self, link: tuple[int, int, int] | None = None, *, drain: bool = False) -> None:
        """Tell where the session stands and, with handle, delivery count and credit, a link."""
        self.send(frames.flow((self._next_incoming_id, self._next_outgoing_id), link, drain=drain))

    def transfer(self, handle: int, tag: bytes, payload: bytes, *, settled: bool) -> int:
        """Send a delivery in as many frames as it needs; what the window holds back follows when it opens."""
        delivery_id = self._next_delivery_id
        self._next_delivery_id += 1
        size, room = len(payload), self._connection.max_frame_size - _TRANSFER_OVERHEAD
        for start in range(0, size, room):
            more = start + room < size
            head = frames.transfer(handle, delivery_id, tag, settled=settled, more=more)
            self._backlog.append(head + payload[start : start + room])
        self._send_backlog()
        return delivery_id

    def receive(self, code: int, body: bytes) -> None:
        """Do what a frame of this session asks.

        Raises:
            Refusal: It cannot be done and the connection must end.
        """
        if code == Code.ATTACH:
            self._on_attach(Attach.read(body))
            return
        fields, payload_at = decoding.fields(body)
        match code:
            case Code.TRANSFER:
                self._on_transfer(Transfer.read(fields, body[payload_at:]))
            case Code.DISPOSITION:
                self._on_disposition(Disposition.read(fields))
            case Code.FLOW:
                self._on_flow(Flow.read(fields))
            case Code.DETACH:
                self._on_detach(required(fields, 0, int))
            case _:
                raise Malformed(f"unknown performative {code:#x}")

    def pump(self) -> None:
        """Send what waits on every link, after the way became free."""
        for link in list(self._links.values()):
            link.pump()

    def close(self) -> None:
        """Let go of the links; locks stay until they expire."""
        for link in self._links.values():
            link.close()
        self._links.clear()

    def _send_backlog(self) -> None:
        while self._backlog and self._window > 0:
            self._window -= 1
            self._next_outgoing_id += 1
            self.send(self._backlog.popleft())

    def _on_attach(self, attach: Attach) -> None:
        if attach.handle in self._links or attach.handle > frames.HIGHEST_HANDLE:
            raise Refusal(Condition.NOT_ALLOWED, f"handle {attach.handle} is taken or too high")
        try:
            link = build(attach, self, self._broker, self._links)
        except Refusal as refusal:
            self._refused.add(attach.handle)
            self.send(frames.unattached(attach))
            self.send(frames.detach(attach.handle, refusal))
            return
        self._refused.discard(attach.handle)
        self._links[attach.handle] = link
        self.send(frames.attached(attach, max_message_size=MAX_MESSAGE_SIZE))
        if isinstance(link, ReceivingLink):
            link.grant()

    def _link(self, handle: int) -> Link | None:
        link = self._links.get(handle)
        if link is None and handle not in self._refused:
            raise Refusal(Condition.UNATTACHED_HANDLE, f"no link is attached to handle {handle}")
        return link

    def _on_detach(self, handle: int) -> None:
        link = self._link(handle)
        self._refused.discard(handle)
        if link is not None:
            link.close()
            del self._links[handle]
            self.send(frames.detach(handle))

    def _on_transfer(self, transfer: Transfer) -> None:
        self._next_incoming_id = (self._next_incoming_id + 1) & 0xFFFFFFFF
        link = self._link(transfer.handle)
        if link is not None:
            link.on_transfer(transfer)

    def _on_flow(self, flow: Flow) -> None:
        was_blocked = self.blocked
        self._window = flow.next_incoming_id + flow.incoming_window - self._next_outgoing_id
        self._send_backlog()
        link = None if flow.handle is None else self._link(flow.handle)
        if link is not None:
            link.on_flow(flow)
        elif flow.echo:
            self.send_flow()
        if was_blocked and not self.blocked:
            self.pump()

    def _on_disposition(self, disposition: Disposition) -> None:
        if not disposition.by_receiver or disposition.state is None:
            return
        if not 0 <= disposition.last - disposition.first < _MAX_RANGE:
            raise Malformed("a disposition has an impossible range")
        for delivery_id in range(disposition.first, disposition.last + 1):
            outcome = self._settle(delivery_id, disposition.state)
            if not disposition.settled:
                self.send(frames.disposition(delivery_id, outcome, by_receiver=False))

    def _settle(self, delivery_id: int, state: decoding.Described) -> bytes:
        try:
            for link in self._links.values():
                outcome = link.settle(delivery_id, state) if isinstance(link, DeliveryLink) else None
                if outcome is not None:
                    return outcome
        except Refusal as refusal:
            return frames.rejected(refusal)
        # Silence would keep the client waiting for a minute.
        return frames.rejected(Refusal(Condition.LOCK_LOST, f"delivery {delivery_id} is not locked here"))
