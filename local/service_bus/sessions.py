"""A session: its windows and its links (OASIS AMQP 1.0, part 2, sections 2.5 to 2.7)."""

from collections.abc import Sequence
from typing import Protocol

from local.service_bus import attaching, cbs, decoding, detaching, frames
from local.service_bus.broker import Broker
from local.service_bus.decoding import required
from local.service_bus.errors import Condition, Malformed, Refusal
from local.service_bus.faults import Disturbed, disturbed
from local.service_bus.links import Link, ReceivingLink
from local.service_bus.performatives import Attach, Code, Disposition, Flow, Transfer
from local.service_bus.rules import MAX_MESSAGE_SIZE
from local.service_bus.sending import DeliveryLink
from local.service_bus.tokens import Claims
from local.service_bus.window import Window

# Far more than any client has under way, and few enough to walk through.
_MAX_RANGE = 65536


class Connection(Protocol):
    """What a session needs of its connection."""

    max_frame_size: int
    congested: bool
    claims: Claims

    def send(self, channel: int, body: bytes) -> None:
        """Send a frame."""
        ...

    def flush(self) -> None:
        """Hand everything sent so far to the network."""
        ...

    def fall_silent(self) -> None:
        """Say nothing any more, and hear nothing."""
        ...

    def recount(self) -> None:
        """Look whether any link is left."""
        ...


class Session:
    """One session of a client; implements what the links need as their `Channel`."""

    def __init__(self, connection: Connection, broker: Broker, channel: int, begin: Sequence[object]) -> None:
        self._connection = connection
        self._broker = broker
        self._channel = channel
        self._links: dict[int, Link] = {}
        # A client may have sent more on a link before it learns that the broker ended it.
        self._ended: set[int] = set()
        self._next_incoming_id = required(begin, 1, int)
        self._window = Window(self.send, required(begin, 2, int))

    @property
    def blocked(self) -> bool:
        """Whether nothing can be sent for now."""
        return self._window.closed or self._connection.congested

    @property
    def in_use(self) -> bool:
        """Whether there is any link but those for tokens."""
        return any(link.terms.path != cbs.ADDRESS for link in self._links.values())

    def send(self, body: bytes) -> None:
        """Send a frame on this session's channel."""
        self._connection.send(self._channel, body)

    def flush(self) -> None:
        """Hand everything sent so far to the network."""
        self._connection.flush()

    def send_flow(self, link: tuple[int, int, int] | None = None, *, drain: bool = False) -> None:
        """Tell where the session stands and, with handle, delivery count and credit, a link."""
        self.send(frames.flow((self._next_incoming_id, self._window.next_outgoing_id), link, drain=drain))

    def transfer(self, handle: int, tag: bytes, payload: bytes, *, settled: bool) -> int:
        """Send a delivery in as many frames as it needs; what the window holds back follows when it opens."""
        return self._window.transfer(handle, tag, payload, self._connection.max_frame_size, settled=settled)

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
                self._on_disposition(Disposition.read(fields, body))
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

    def detach(self, handle: int, refusal: Refusal) -> None:
        """End a link from the broker's side; locks stay until they expire."""
        self._links.pop(handle).close()
        self._ended.add(handle)
        self.send(frames.detach(handle, refusal))
        self._connection.recount()

    def renew_claims(self) -> None:
        """End every link that the client's tokens do not cover any more."""
        for handle, link in list(self._links.items()):
            receives = not isinstance(link, ReceivingLink)
            try:
                attaching.check(self._broker, self._connection.claims, link.terms.path, receives=receives)
            except Refusal as refusal:
                self.detach(handle, detaching.expired(link, refusal))

    def close(self) -> None:
        """Let go of the links; locks stay until they expire."""
        for link in self._links.values():
            link.close()
        self._links.clear()

    def _on_attach(self, attach: Attach) -> None:
        if attach.handle in self._links or attach.handle > frames.HIGHEST_HANDLE:
            raise Refusal(Condition.NOT_ALLOWED, f"handle {attach.handle} is taken or too high")
        self._ended.discard(attach.handle)
        try:
            link = attaching.build(attach, self, self._broker, self._connection.claims, self._links)
        except Refusal as refusal:
            self._refuse(attach, refusal)
        except Disturbed as disturbance:
            self._ended.add(attach.handle)
            if disturbance.fault == "detach":
                self._refuse(attach, detaching.on_request(attach.name))
            self._disturb(disturbance, attach.handle)
        else:
            self._accept(attach, link)

    def _accept(self, attach: Attach, link: Link) -> None:
        self._links[attach.handle] = link
        self.send(frames.attached(attach, max_message_size=MAX_MESSAGE_SIZE))
        if isinstance(link, ReceivingLink):
            link.grant()
        if not attaching.is_node(link.terms.path):
            link.watch(self._broker.patience.link, lambda: self._on_idle(link))
        self._connection.recount()

    def _refuse(self, attach: Attach, refusal: Refusal) -> None:
        self._ended.add(attach.handle)
        self.send(frames.unattached(attach))
        self.send(frames.detach(attach.handle, refusal))

    def _disturb(self, disturbance: Disturbed, handle: int) -> None:
        """Let a fault have its way with a link; a lost answer is one that nobody sends."""
        if disturbance.fault == "silence":
            self._connection.fall_silent()
        elif disturbance.fault == "detach" and handle in self._links:
            self.detach(handle, detaching.on_request(self._links[handle].terms.name))

    def _on_idle(self, link: Link) -> None:
        self.detach(link.terms.handle, detaching.idle(link, self._broker.patience.link))
        self.flush()

    def _link(self, handle: int) -> Link | None:
        link = self._links.get(handle)
        if link is None and handle not in self._ended:
            raise Refusal(Condition.UNATTACHED_HANDLE, f"no link is attached to handle {handle}")
        return link

    def _on_detach(self, handle: int) -> None:
        link = self._link(handle)
        self._ended.discard(handle)
        if link is not None:
            link.close()
            del self._links[handle]
            self.send(frames.detach(handle))
            self._connection.recount()

    def _on_transfer(self, transfer: Transfer) -> None:
        self._next_incoming_id = (self._next_incoming_id + 1) & 0xFFFFFFFF
        link = self._link(transfer.handle)
        if link is None:
            return
        link.touch()
        try:
            link.on_transfer(transfer)
        except Disturbed as disturbance:
            self._disturb(disturbance, transfer.handle)

    def _on_flow(self, flow: Flow) -> None:
        was_blocked = self.blocked
        self._window.allow(flow.next_incoming_id, flow.incoming_window)
        link = None if flow.handle is None else self._link(flow.handle)
        if link is not None:
            self._on_link_flow(link, flow)
        elif flow.echo:
            self.send_flow()
        if was_blocked and not self.blocked:
            self.pump()

    def _on_link_flow(self, link: Link, flow: Flow) -> None:
        link.touch()
        if not isinstance(link, DeliveryLink) or not flow.link_credit:
            link.on_flow(flow)
            return
        try:
            disturbed(self._broker.faults, "receive", link.terms.path, lambda: link.on_flow(flow))
        except Refusal as refusal:
            self.detach(link.terms.handle, refusal)
        except Disturbed as disturbance:
            self._disturb(disturbance, link.terms.handle)

    def _on_disposition(self, disposition: Disposition) -> None:
        if not disposition.by_receiver or disposition.state is None:
            return
        if not 0 <= disposition.last - disposition.first < _MAX_RANGE:
            raise Malformed("a disposition has an impossible range")
        for delivery_id in range(disposition.first, disposition.last + 1):
            outcome = self._settle(delivery_id, disposition.state, disposition.raw_state)
            if outcome is not None and not disposition.settled:
                self.send(frames.disposition(delivery_id, outcome, by_receiver=False))

    def _settle(self, delivery_id: int, state: decoding.Described, raw: bytes) -> bytes | None:
        link = self._link_of(delivery_id)
        if link is None:
            # Silence would keep the client waiting for a minute.
            return frames.rejected(Refusal(Condition.LOCK_LOST, f"delivery {delivery_id} is not locked here"))
        faults, path = self._broker.faults, link.terms.path
        try:
            return disturbed(faults, "settle", path, lambda: link.settle(delivery_id, state, raw))
        except Refusal as refusal:
            return frames.rejected(refusal)
        except Disturbed as disturbance:
            self._disturb(disturbance, link.terms.handle)
            return None

    def _link_of(self, delivery_id: int) -> DeliveryLink | None:
        for link in self._links.values():
            if isinstance(link, DeliveryLink) and link.delivered(delivery_id):
                return link
        return None
