from uuid import UUID

import pytest

from local.service_bus import decoding, encoding, slicing
from local.service_bus.entities import Entry
from local.service_bus.errors import Condition, Malformed, Refusal
from local.service_bus.management import management
from local.service_bus.message import Message, Section, sections
from local.service_bus.namespace import Namespace
from local.service_bus.requests import Request

MESSAGE_ID = b"\x98" + bytes(range(16))
BODY = encoding.described(Section.DATA, encoding.binary(b"body"))
LOST = Refusal(Condition.LOCK_LOST, "lost")


@pytest.fixture
def namespace() -> Namespace:
    """Return a namespace with a queue that holds one locked message, and a topic."""
    built = Namespace.from_dict({"queues": [{"name": "q"}], "topics": [{"name": "t"}]})
    built.source("q").send([Message.parse(BODY)])
    return built


@pytest.fixture
def locked(namespace: Namespace) -> Entry:
    """Return the locked message."""
    entry = namespace.source("q").lock()
    assert entry is not None
    return entry


def request(operation: str, *arguments: bytes) -> Request:
    """Build a request as it comes over the wire."""
    properties = [MESSAGE_ID, encoding.NULL, encoding.NULL, encoding.NULL, encoding.string("me")]
    told = [encoding.string("operation"), encoding.string(operation)]
    return Request.parse(
        encoding.described(Section.PROPERTIES, encoding.sequence(properties))
        + encoding.described(Section.APPLICATION_PROPERTIES, encoding.mapping(told))
        + encoding.described(Section.VALUE, encoding.mapping(arguments))
    )


def answer(namespace: Namespace, operation: str, *arguments: bytes, at: str = "q") -> tuple[object, object]:
    """Perform an operation; return status and body, or status and condition of a failure."""
    asked, node = request(f"com.microsoft:{operation}", *arguments), management(namespace, at)
    try:
        return read(node.perform(asked))
    except Refusal as refusal:
        return read(node.refuse(asked, refusal))


def read(response: bytes) -> tuple[object, object]:
    """Return status and body, or status and condition, of a response."""
    raw = {code: value for code, value, _ in sections(response)}
    told = decoding.decode(raw[Section.APPLICATION_PROPERTIES])[0]
    assert isinstance(told, dict)
    return told["statusCode"], told.get("errorCondition", decoding.decode(raw[Section.VALUE])[0])


def tokens(*raw: bytes) -> list[bytes]:
    """Encode lock tokens as the argument of a request."""
    uuids = [b"\x98" + UUID(bytes_le=token).bytes for token in raw]
    return [encoding.string("lock-tokens"), encoding.array(uuids)]


def text(key: str, value: str) -> list[bytes]:
    """Encode a text argument."""
    return [encoding.string(key), encoding.string(value)]


@pytest.mark.parametrize(
    ("status", "left", "dead"),
    [("completed", 0, 0), ("abandoned", 1, 0), ("defered", 1, 0), ("suspended", 0, 1)],
)
def test_settling_by_lock_token(
    namespace: Namespace, locked: Entry, status: str, left: int, dead: int
) -> None:
    """A locked message can be settled by its token, without the link that received it."""
    wish = [*tokens(locked.lock_token), *text("disposition-status", status), *text("deadletter-reason", "r")]
    assert answer(namespace, "update-disposition", *wish) == (200, {})
    assert namespace.find("q").count() == left
    assert namespace.find("q/$deadletterqueue").count() == dead
    assert answer(namespace, "update-disposition", *wish) == (410, "com.microsoft:message-lock-lost")


@pytest.mark.parametrize(("mode", "left"), [(0, 0), (1, 1)])
def test_a_deferred_message_is_received_by_its_number(
    namespace: Namespace, locked: Entry, mode: int, left: int
) -> None:
    """A deferred message is received locked, with the token of its lock, or removed at once."""
    namespace.source("q").defer(locked.lock_token)
    numbers = encoding.array([encoding.long(locked.sequence_number)])
    wish = [encoding.string("sequence-numbers"), numbers]
    wish += [encoding.string("receiver-settle-mode"), encoding.uint(mode)]
    status, found = answer(namespace, "receive-by-sequence-number", *wish)
    assert status == 200
    assert isinstance(found, dict)
    [told] = found["messages"]
    assert namespace.find("q").count() == left
    assert told.get("lock-token") == (UUID(bytes_le=locked.lock_token) if mode else None)
    assert answer(namespace, "receive-by-sequence-number", *wish) == (404, "com.microsoft:message-not-found")


@pytest.mark.parametrize(
    "operation",
    [
        "get-message-sessions",
        "get-session-state",
        "set-session-state",
        "renew-session-lock",
        "add-rule",
        "remove-rule",
        "enumerate-rules",
        "nonsense",
    ],
)
def test_unknown_operations_are_told_so(namespace: Namespace, operation: str) -> None:
    """What the broker does not offer is answered with 501."""
    assert answer(namespace, operation) == (501, "amqp:not-implemented")


@pytest.mark.parametrize(
    ("operation", "at"),
    [
        ("peek-message", "t"),
        ("renew-lock", "t"),
        ("schedule-message", "q/$DeadLetterQueue"),
        ("cancel-scheduled-message", "q/$DeadLetterQueue"),
    ],
)
def test_operations_on_the_wrong_entity_are_refused(namespace: Namespace, operation: str, at: str) -> None:
    """A topic cannot be peeked, and nothing can be scheduled into a dead-letter queue."""
    assert answer(namespace, operation, at=at) == (405, "amqp:not-allowed")


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("peek-message", []),
        ("peek-message", text("from-sequence-number", "one")),
        ("renew-lock", text("lock-tokens", "none")),
        ("schedule-message", [encoding.string("messages"), encoding.sequence([encoding.mapping([])])]),
        (
            "schedule-message",
            [
                encoding.string("messages"),
                encoding.sequence([encoding.mapping([encoding.string("message"), encoding.binary(BODY)])]),
            ],
        ),
    ],
)
def test_wrong_arguments_are_refused(namespace: Namespace, operation: str, arguments: list[bytes]) -> None:
    """A missing or wrong argument is answered with 400; so is scheduling without a time."""
    assert answer(namespace, operation, *arguments) == (400, "com.microsoft:argument-error")


def test_an_empty_page_has_no_content(namespace: Namespace) -> None:
    """Peeking behind the last message is answered with 204."""
    arguments = [encoding.string("from-sequence-number"), encoding.long(2)]
    arguments += [encoding.string("message-count"), encoding.integer(10)]
    assert answer(namespace, "peek-message", *arguments) == (204, {})


def test_the_answer_has_the_message_id_of_the_request(namespace: Namespace) -> None:
    """The correlation id is the request's message id byte for byte: the SDK compares type and value."""
    asked = request("com.microsoft:renew-lock")
    raw = {code: value for code, value, _ in sections(management(namespace, "q").refuse(asked, LOST))}
    assert slicing.elements(raw[Section.PROPERTIES])[5] == MESSAGE_ID


def test_a_request_needs_an_id_and_an_entity(namespace: Namespace) -> None:
    """Without a message id nobody could be answered, and without an entity nothing done."""
    with pytest.raises(Malformed, match="message id"):
        Request.parse(BODY)
    with pytest.raises(Refusal, match="could not be found"):
        management(namespace, "nowhere")
