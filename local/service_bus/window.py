"""A session's way out: what the client's window holds back, in its order (OASIS AMQP 1.0, section 2.5.6)."""

from collections import deque
from collections.abc import Callable

from local.service_bus import frames

# What a transfer frame has around its payload is shorter.
_TRANSFER_OVERHEAD = 64


class Window:
    """Transfers on their way to a client, as many at once as it allows."""

    def __init__(self, send: Callable[[bytes], None], room: int) -> None:
        self._send = send
        self._room = room
        self._next_delivery_id = 0
        self._backlog: deque[bytes] = deque()
        self.next_outgoing_id = 0

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent for now."""
        return self._room <= 0 or bool(self._backlog)

    def allow(self, next_incoming_id: int, room: int) -> None:
        """Take over what the client allows, counted from what it has seen, and send what waited for it."""
        self._room = next_incoming_id + room - self.next_outgoing_id
        self._send_backlog()

    def transfer(self, handle: int, tag: bytes, payload: bytes, frame_size: int, *, settled: bool) -> int:
        """Send a delivery in as many frames as it needs; return its id."""
        delivery_id = self._next_delivery_id
        self._next_delivery_id += 1
        size, room = len(payload), frame_size - _TRANSFER_OVERHEAD
        for start in range(0, size, room):
            more = start + room < size
            head = frames.transfer(handle, delivery_id, tag, settled=settled, more=more)
            self._backlog.append(head + payload[start : start + room])
        self._send_backlog()
        return delivery_id

    def _send_backlog(self) -> None:
        while self._backlog and self._room > 0:
            self._room -= 1
            self.next_outgoing_id += 1
            self._send(self._backlog.popleft())
