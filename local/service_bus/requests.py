"""Requests to a node of the broker and the responses to them (Azure, service-bus-amqp-request-response)."""

from collections.abc import Callable
from typing import NamedTuple

from local.service_bus import decoding, encoding, slicing
from local.service_bus.decoding import optional
from local.service_bus.errors import Malformed, Refusal
from local.service_bus.message import Section, sections


class Request(NamedTuple):
    """A request; its message id stays encoded, for the client compares type and all.

    `told` are its application properties, `body` the value that it carries, also as it came.
    """

    message_id: bytes
    reply_to: str | None
    told: dict[object, object]
    body: object
    raw_body: bytes

    @classmethod
    def parse(cls, payload: bytes) -> "Request":
        """Read the payload of a transfer.

        Raises:
            Malformed: It has no message id or is no message at all.
        """
        raw = {code: value for code, value, _ in sections(payload)}
        properties = slicing.elements(raw.get(Section.PROPERTIES, encoding.EMPTY_LIST))
        if not properties or properties[0] == encoding.NULL:
            raise Malformed("a request needs a message id")
        reply_to = [decoding.decode(value)[0] for value in properties[4:5]]
        told, _ = decoding.decode(raw.get(Section.APPLICATION_PROPERTIES, encoding.mapping([])))
        body = raw.get(Section.VALUE, encoding.NULL)
        return cls(
            message_id=properties[0],
            reply_to=optional(reply_to, 0, str),
            told=told if isinstance(told, dict) else {},
            body=decoding.decode(body)[0],
            raw_body=body,
        )

    @property
    def operation(self) -> object:
        """What is asked for."""
        return self.told.get("operation")


class Node(NamedTuple):
    """What answers requests: `perform` does what is asked or raises a `Refusal`, which `refuse` tells."""

    perform: Callable[[Request], bytes]
    refuse: Callable[[Request, Refusal], bytes]


def response(request: Request, told: list[bytes], body: bytes) -> bytes:
    """Return the payload of a response: encoded application properties, keys and values in turn, and body."""
    properties = encoding.sequence([encoding.NULL] * 5 + [request.message_id])
    return b"".join(
        (
            encoding.described(Section.PROPERTIES, properties),
            encoding.described(Section.APPLICATION_PROPERTIES, encoding.mapping(told)),
            encoding.described(Section.VALUE, body),
        )
    )
