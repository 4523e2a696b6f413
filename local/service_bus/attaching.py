"""Which link a client gets for its attach, or why it gets none."""

from collections.abc import Mapping, Sequence

from local.service_bus.broker import Broker
from local.service_bus.decoding import optional
from local.service_bus.errors import Condition, Refusal
from local.service_bus.links import Channel, DeliveryLink, ReceivingLink, ResponseLink, SendingLink
from local.service_bus.management import CBS, SUFFIX, Node, Request, grant_token, management
from local.service_bus.message import messages
from local.service_bus.namespace import Namespace, path_of
from local.service_bus.performatives import Attach

_COORDINATOR = 0x30
_SESSION_FILTER = "com.microsoft:session-filter"

type Link = ReceivingLink | SendingLink


def build(attach: Attach, channel: Channel, broker: Broker, links: Mapping[int, Link]) -> Link:
    """Build the broker's end of a link.

    Args:
        attach: What the client wants.
        channel: The session.
        broker: Where the entities are.
        links: The links of the session, by handle, as they will be: a response goes out over one of them.

    Raises:
        Refusal: The client cannot have it.
    """
    address = _address(attach)
    node = _node(broker.namespace, address)
    if node is not None:
        return _node_link(attach, channel, node, links)
    if attach.client_receives:
        _refuse_filters(attach.source)
        queue = broker.namespace.source(address)
        queue.check_delivers()
        dispatcher = broker.dispatcher(queue)
        return DeliveryLink(channel, attach.handle, dispatcher, settles_at_once=attach.settles_at_once)
    entity = broker.namespace.target(address)

    def take(payload: bytes, message_format: int) -> None:
        entity.send(messages(payload, message_format))

    return ReceivingLink(channel, attach.handle, take)


def _address(attach: Attach) -> str:
    if attach.target_code == _COORDINATOR:
        raise Refusal(Condition.NOT_IMPLEMENTED, "transactions are not supported")
    address = optional(attach.source if attach.client_receives else attach.target, 0, str)
    if address is None:
        raise Refusal(Condition.NOT_IMPLEMENTED, "a link needs an address: dynamic ones are not supported")
    return address


def _refuse_filters(source: Sequence[object]) -> None:
    filters = optional(source, 7, dict) or {}
    if _SESSION_FILTER in filters:
        raise Refusal(Condition.NOT_ALLOWED, "the entity does not require sessions")
    if filters:
        raise Refusal(Condition.NOT_IMPLEMENTED, "filters are not supported")


def _node(namespace: Namespace, address: str) -> tuple[str, Node] | None:
    name = path_of(address).lower()
    if name == CBS:
        return name, grant_token
    if name.endswith(SUFFIX):
        return name, management(namespace, name.removesuffix(SUFFIX))
    return None


def _node_link(attach: Attach, channel: Channel, node: tuple[str, Node], links: Mapping[int, Link]) -> Link:
    name, answer = node
    if attach.client_receives:
        # The JavaScript SDK's link for tokens has an empty target.
        return ResponseLink(channel, attach.handle, name, optional(attach.target, 0, str) or "")

    def take(payload: bytes, _: int) -> None:
        request = Request.parse(payload)
        _response_link(name, request.reply_to, links).respond(answer(request))

    return ReceivingLink(channel, attach.handle, take)


def _response_link(node: str, reply_to: str | None, links: Mapping[int, Link]) -> ResponseLink:
    candidates = [link for link in links.values() if isinstance(link, ResponseLink) and link.node == node]
    if not candidates:
        raise Refusal(Condition.NOT_ALLOWED, f"no link of this session receives the responses of {node}")
    named = [link for link in candidates if link.address == reply_to]
    return (named or candidates)[-1]
