"""Operations on an entity over ``<entity>/$management`` (Azure, service-bus-amqp-request-response).

Map keys are strings there, and the SDKs insist on it.
"""

from collections.abc import Sequence
from uuid import UUID

from local.service_bus import decoding, encoding, settlement, slicing
from local.service_bus.decoding import optional
from local.service_bus.deliveries import render
from local.service_bus.entities import Entity
from local.service_bus.errors import Condition, Refusal
from local.service_bus.message import Message
from local.service_bus.namespace import Namespace
from local.service_bus.queues import NO_CHANGES, Changes, Queue
from local.service_bus.requests import Node, Request, response
from local.service_bus.rules import MAX_MESSAGE_SIZE, check_size

SUFFIX = "/$management"

_OK, _NO_CONTENT = 200, 204
_STATUS = {
    Condition.ARGUMENT_ERROR: 400,
    Condition.DECODE_ERROR: 400,
    Condition.ENTITY_DISABLED: 410,
    Condition.LOCK_LOST: 410,
    Condition.MESSAGE_NOT_FOUND: 404,
    Condition.MESSAGE_TOO_LARGE: 413,
    Condition.NOT_ALLOWED: 405,
    Condition.NOT_IMPLEMENTED: 501,
    Condition.QUOTA_EXCEEDED: 403,
    Condition.SERVER_BUSY: 503,
}
_PEEK_LOCK = 1
# A page of peeked messages stays near the size of one message.
_PAGE_BYTES = MAX_MESSAGE_SIZE

type Arguments = dict[object, object]


def management(namespace: Namespace, address: str) -> Node:
    """Return what answers the operations on the entity at an address.

    Raises:
        Refusal: There is none.
    """
    namespace.find(address)

    def perform(request: Request) -> bytes:
        status, body = _perform(namespace, address, request)
        return response(request, _status(status, "OK"), encoding.mapping(body))

    return Node(perform, _refuse)


def _refuse(request: Request, refusal: Refusal) -> bytes:
    told = [encoding.string("errorCondition"), encoding.symbol(refusal.condition)]
    told += _status(_STATUS.get(refusal.condition, 500), refusal.description)
    return response(request, told, encoding.NULL)


def _status(code: int, description: str) -> list[bytes]:
    told = [encoding.string("statusCode"), encoding.integer(code)]
    return [*told, encoding.string("statusDescription"), encoding.string(description)]


def _perform(namespace: Namespace, address: str, request: Request) -> tuple[int, list[bytes]]:
    arguments = request.body if isinstance(request.body, dict) else {}
    match request.operation:
        case "com.microsoft:schedule-message":
            return _OK, _schedule(namespace.target(address), arguments)
        case "com.microsoft:cancel-scheduled-message":
            return _OK, _cancel(namespace.target(address), arguments)
        case "com.microsoft:peek-message":
            found = _peek(namespace.source(address), arguments)
            return (_OK, found) if found else (_NO_CONTENT, [])
        case "com.microsoft:renew-lock":
            return _OK, _renew(namespace.source(address), arguments)
        case "com.microsoft:receive-by-sequence-number":
            return _OK, _receive_deferred(namespace.source(address), arguments)
        case "com.microsoft:update-disposition":
            return _OK, _update_disposition(namespace.source(address), arguments, _changes(request))
    raise Refusal(Condition.NOT_IMPLEMENTED, f"{request.operation} is not supported")


def _argument[T](arguments: Arguments, name: str, kind: type[T]) -> T:
    value = arguments.get(name)
    if not isinstance(value, kind):
        raise Refusal(Condition.ARGUMENT_ERROR, f"{name} should be a {kind.__name__}")
    return value


def _items[T](arguments: Arguments, name: str, kind: type[T]) -> list[T]:
    values = _argument(arguments, name, list)
    return [_argument({name: value}, name, kind) for value in values]


def _schedule(entity: Entity, arguments: Arguments) -> list[bytes]:
    messages = [
        Message.parse(_argument(item, "message", bytes)) for item in _items(arguments, "messages", dict)
    ]
    for message in messages:
        check_size(message.size)
        if message.scheduled_for is None:
            raise Refusal(
                Condition.ARGUMENT_ERROR, "a message to schedule needs x-opt-scheduled-enqueue-time"
            )
    numbers = [encoding.long(number) for number in entity.send(messages)]
    return [encoding.string("sequence-numbers"), _array(numbers)]


def _cancel(entity: Entity, arguments: Arguments) -> list[bytes]:
    entity.cancel(_items(arguments, "sequence-numbers", int))
    return []


def _peek(queue: Queue, arguments: Arguments) -> list[bytes]:
    queue.check_delivers()
    room = _PAGE_BYTES
    page: list[bytes] = []
    first = _argument(arguments, "from-sequence-number", int)
    for entry in queue.peek(first, _argument(arguments, "message-count", int)):
        payload = render(entry, locked=False)
        room -= len(payload)
        if page and room < 0:
            break
        page.append(encoding.mapping([encoding.string("message"), encoding.binary(payload)]))
    return [encoding.string("messages"), encoding.sequence(page)] if page else []


def _receive_deferred(queue: Queue, arguments: Arguments) -> list[bytes]:
    queue.check_delivers()
    locked = _argument(arguments, "receiver-settle-mode", int) == _PEEK_LOCK
    found = []
    for entry in queue.claim(_items(arguments, "sequence-numbers", int), locked=locked):
        parts = [encoding.string("message"), encoding.binary(render(entry, locked=locked))]
        if locked:
            parts += [encoding.string("lock-token"), encoding.lock_token(entry.lock_token)]
        found.append(encoding.mapping(parts))
    return [encoding.string("messages"), encoding.sequence(found)]


def _renew(queue: Queue, arguments: Arguments) -> list[bytes]:
    expirations = [encoding.timestamp(queue.renew(token)) for token in _lock_tokens(arguments)]
    return [encoding.string("expirations"), _array(expirations)]


def _update_disposition(queue: Queue, arguments: Arguments, changes: Changes) -> list[bytes]:
    wish = _argument(arguments, "disposition-status", str)
    told = [arguments.get("deadletter-reason"), arguments.get("deadletter-description")]
    reason, description = optional(told, 0, str), optional(told, 1, str)
    for token in _lock_tokens(arguments):
        match wish:
            case "completed":
                queue.complete(token)
            case "abandoned":
                queue.abandon(token, changes)
            case "defered":  # so it is spelt there
                queue.defer(token, changes)
            case "suspended":
                queue.dead_letter(token, reason, description, changes)
            case _:
                raise Refusal(Condition.NOT_IMPLEMENTED, f"settling as {wish} is not supported")
    return []


def _changes(request: Request) -> Changes:
    for key, value in slicing.pairs(request.raw_body):
        if decoding.decode(key)[0] == "properties-to-modify":
            return settlement.changes(value)
    return NO_CHANGES


def _lock_tokens(arguments: Arguments) -> Sequence[bytes]:
    # A lock token is a GUID: little-endian as a delivery tag, big-endian here.
    return [token.bytes_le for token in _items(arguments, "lock-tokens", UUID)]


def _array(items: list[bytes]) -> bytes:
    return encoding.array(items) if items else encoding.EMPTY_LIST
