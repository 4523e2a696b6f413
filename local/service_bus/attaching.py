"""Which link a client gets for its attach, or why it gets none."""

from collections.abc import Mapping, Sequence

from local.service_bus import cbs
from local.service_bus.broker import Broker
from local.service_bus.decoding import optional
from local.service_bus.errors import Condition, Refusal
from local.service_bus.faults import disturbed
from local.service_bus.links import Channel, Link, ReceivingLink, Terms
from local.service_bus.management import SUFFIX, management
from local.service_bus.message import messages
from local.service_bus.namespace import path_of
from local.service_bus.performatives import Attach
from local.service_bus.requests import Node, Request
from local.service_bus.sending import DeliveryLink, ResponseLink
from local.service_bus.tokens import Claims

_COORDINATOR = 0x30
_SESSION_FILTER = "com.microsoft:session-filter"


def build(
    attach: Attach, channel: Channel, broker: Broker, claims: Claims, links: Mapping[int, Link]
) -> Link:
    """Build the broker's end of a link.

    Args:
        attach: What the client wants.
        channel: The session.
        broker: Where the entities are.
        claims: What the client may do.
        links: The links of the session, by handle, as they will be: a response goes out over one of them.

    Raises:
        Refusal: The client cannot have it.
        Disturbed: A fault is to meet it.
    """
    address = _address(attach)
    terms = Terms(attach.name, attach.handle, path_of(address).lower())
    disturbed(broker.faults, "attach", terms.path, lambda: None)
    if terms.path == cbs.ADDRESS:
        return _node_link(attach, channel, terms, broker, cbs.cbs(broker.authority, claims.add), links)
    check(broker, claims, terms.path, receives=attach.client_receives)
    if terms.path.endswith(SUFFIX):
        node = management(broker.namespace, terms.path.removesuffix(SUFFIX))
        return _node_link(attach, channel, terms, broker, node, links)
    if attach.client_receives:
        return _delivery_link(attach, channel, terms, broker, address)
    return _receiving_link(channel, terms, broker, address)


def is_node(path: str) -> bool:
    """Tell whether requests are answered there, rather than messages kept."""
    return path == cbs.ADDRESS or path.endswith(SUFFIX)


def check(broker: Broker, claims: Claims, path: str, *, receives: bool) -> None:
    """Refuse a client that has shown no token for a path, or whose token has expired, in Azure's words.

    This comes before the question whether anything is there: who may not use it shall not learn that.

    Raises:
        Refusal: It may not use what is there.
    """
    if path != cbs.ADDRESS and claims.until(path) <= broker.authority.clock():
        claim = "Listen" if receives else "Send"
        text = f"Unauthorized access. '{claim}' claim(s) are required to perform this operation."
        raise Refusal(Condition.UNAUTHORIZED, f"{text} Resource: 'sb://localhost/{path}'.")


def _address(attach: Attach) -> str:
    if attach.target_code == _COORDINATOR:
        raise Refusal(Condition.NOT_IMPLEMENTED, "transactions are not supported")
    address = optional(attach.source if attach.client_receives else attach.target, 0, str)
    if address is None:
        raise Refusal(Condition.NOT_IMPLEMENTED, "a link needs an address: dynamic ones are not supported")
    return address


def _delivery_link(
    attach: Attach, channel: Channel, terms: Terms, broker: Broker, address: str
) -> DeliveryLink:
    _refuse_filters(attach.source)
    queue = broker.namespace.source(address)
    queue.check_delivers()
    return DeliveryLink(channel, terms, broker.dispatcher(queue), settles_at_once=attach.settles_at_once)


def _receiving_link(channel: Channel, terms: Terms, broker: Broker, address: str) -> ReceivingLink:
    entity = broker.namespace.target(address)

    def take(payload: bytes, message_format: int) -> None:
        disturbed(broker.faults, "send", terms.path, lambda: entity.send(messages(payload, message_format)))

    return ReceivingLink(channel, terms, take)


def _refuse_filters(source: Sequence[object]) -> None:
    filters = optional(source, 7, dict) or {}
    if _SESSION_FILTER in filters:
        raise Refusal(Condition.NOT_ALLOWED, "the entity does not require sessions")
    if filters:
        raise Refusal(Condition.NOT_IMPLEMENTED, "filters are not supported")


def _node_link(
    attach: Attach, channel: Channel, terms: Terms, broker: Broker, node: Node, links: Mapping[int, Link]
) -> Link:
    if attach.client_receives:
        # The JavaScript SDK's link for tokens has an empty target.
        return ResponseLink(channel, terms, optional(attach.target, 0, str) or "")

    def take(payload: bytes, _: int) -> None:
        request = Request.parse(payload)
        link = _response_link(terms.path, request.reply_to, links)
        link.check_room()
        try:
            response = disturbed(broker.faults, "manage", terms.path, lambda: node.perform(request))
        except Refusal as refusal:
            response = node.refuse(request, refusal)
        link.respond(response)

    return ReceivingLink(channel, terms, take)


def _response_link(node: str, reply_to: str | None, links: Mapping[int, Link]) -> ResponseLink:
    candidates = [
        link for link in links.values() if isinstance(link, ResponseLink) and link.terms.path == node
    ]
    if not candidates:
        raise Refusal(Condition.NOT_ALLOWED, f"no link of this session receives the responses of {node}")
    named = [link for link in candidates if link.address == reply_to]
    return (named or candidates)[-1]
