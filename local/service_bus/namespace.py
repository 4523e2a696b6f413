"""The entities of one Service Bus, read from JSON with the property names of Azure Resource Manager.

(Microsoft.ServiceBus namespaces/queues, namespaces/topics and namespaces/topics/subscriptions.)
"""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from math import inf
from pathlib import Path
from urllib.parse import urlsplit

from local.service_bus.entities import Clock, Entity
from local.service_bus.errors import Condition, Refusal
from local.service_bus.queues import Queue, Topic, queue
from local.service_bus.rules import Settings, Status

_LONGEST_LOCK = timedelta(minutes=5)
_LONGEST_WINDOW = timedelta(days=7)
_DEFAULT_WINDOW = timedelta(minutes=10)
_UNITS = ("days", "hours", "minutes", "seconds")
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")

_HONOURED = frozenset(
    {
        "deadLetteringOnMessageExpiration",
        "defaultMessageTimeToLive",
        "duplicateDetectionHistoryTimeWindow",
        "lockDuration",
        "maxDeliveryCount",
        "maxSizeInMegabytes",
        "requiresDuplicateDetection",
        "status",
    }
)
# These change nothing that a client of one machine could see.
_WITHOUT_EFFECT = frozenset({"enableBatchedOperations", "supportOrdering"})


class InvalidEntitiesError(ValueError):
    """The description of the entities is wrong or asks for what this broker does not offer."""


class Namespace:
    """Queues and topics by their addresses.

    Args:
        queues: With their dead-letter queues.
        topics: With their subscriptions.
    """

    def __init__(self, queues: Sequence[Queue], topics: Sequence[Topic] = ()) -> None:
        self.queues = tuple(queues)
        self.topics = tuple(topics)
        self._entities: dict[str, Entity] = {}
        self._targets = frozenset[Entity]((*queues, *topics))
        for topic in topics:
            self._add(topic)
        for each in (*queues, *_subscriptions(topics)):
            self._add(each)
            if each.dead_letters is not None:
                self._add(each.dead_letters)

    @classmethod
    def from_file(cls, path: Path, *, clock: Clock = time.time) -> "Namespace":
        """Read a JSON file.

        Raises:
            InvalidEntitiesError: The file cannot be read, or what it says is wrong; the message is one line.
        """
        try:
            description = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InvalidEntitiesError(f"{path}: {error.strerror}") from error
        except ValueError as error:
            raise InvalidEntitiesError(f"{path}: not JSON: {error}") from error
        try:
            return cls.from_dict(description, clock=clock)
        except InvalidEntitiesError as error:
            raise InvalidEntitiesError(f"{path}: {error}") from error

    @classmethod
    def from_dict(cls, description: object, *, clock: Clock = time.time) -> "Namespace":
        """Build the entities of ``{"queues": [...], "topics": [...]}``.

        Args:
            description: Lists of ``{"name", "properties"}``; a topic also has ``subscriptions`` of that form.
            clock: Seconds since 1970 UTC.

        Raises:
            InvalidEntitiesError: Another shape, a value that Azure would refuse, or an unsupported property.
        """
        root = _object(description, "the entities", allowed={"queues", "topics"})
        queues = [queue(name, _settings(raw, name), clock) for name, raw in _named(root, "queues")]
        topics = [_topic(name, raw, clock) for name, raw in _named(root, "topics")]
        return cls(queues, topics)

    def __iter__(self) -> Iterator[Entity]:
        """Yield every entity, sub-queues included."""
        return iter(self._entities.values())

    def find(self, address: str) -> Entity:
        """Return the entity at an address: a path or a URI, in any case.

        Raises:
            Refusal: There is none.
        """
        path = path_of(address)
        entity = self._entities.get(path.lower())
        if entity is None:
            raise Refusal(Condition.NOT_FOUND, f"the messaging entity {path} could not be found")
        return entity

    def target(self, address: str) -> Entity:
        """Return the queue or topic to send to at an address.

        Raises:
            Refusal: There is nothing, or only a subscription or a dead-letter queue.
        """
        entity = self.find(address)
        if entity not in self._targets:
            raise Refusal(Condition.NOT_ALLOWED, f"{entity.name} takes no messages from senders")
        return entity

    def source(self, address: str) -> Queue:
        """Return the queue, subscription or dead-letter queue to receive from at an address.

        Raises:
            Refusal: There is nothing, or a topic.
        """
        entity = self.find(address)
        if not isinstance(entity, Queue):
            raise Refusal(
                Condition.NOT_ALLOWED, f"{entity.name} is a topic: receive from a subscription of it"
            )
        return entity

    def _add(self, entity: Entity) -> None:
        key = entity.name.lower()
        if key in self._entities:
            raise InvalidEntitiesError(f"{entity.name} is there twice")
        self._entities[key] = entity


def path_of(address: str) -> str:
    """Return an address without scheme, host and slashes around it."""
    return (urlsplit(address).path if "://" in address else address).strip("/")


def _subscriptions(topics: Sequence[Topic]) -> Iterator[Queue]:
    for topic in topics:
        yield from topic.subscriptions


def _topic(name: str, raw: Mapping[str, object], clock: Clock) -> Topic:
    subscriptions = [
        queue(f"{name}/Subscriptions/{each}", _settings(properties, f"{name}/{each}"), clock)
        for each, properties in _named(raw, "subscriptions")
    ]
    return Topic(name, _settings(raw, name), clock, subscriptions)


def _named(raw: Mapping[str, object], key: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    items = raw.get(key, [])
    if not isinstance(items, list):
        raise InvalidEntitiesError(f"{key} should be a list")
    allowed = {"name", "properties"} | ({"subscriptions"} if key == "topics" else set())
    for item in items:
        entity = _object(item, f"each of {key}", allowed=allowed)
        name = entity.get("name")
        if not isinstance(name, str) or not name.strip("/"):
            raise InvalidEntitiesError(f"each of {key} needs a name")
        yield name, entity


def _object(raw: object, what: str, *, allowed: set[str] | frozenset[str]) -> Mapping[str, object]:
    if not isinstance(raw, dict):
        raise InvalidEntitiesError(f"{what} should be an object")
    unknown = sorted(raw.keys() - allowed)
    if unknown:
        raise InvalidEntitiesError(f"{what}: {unknown[0]} is not supported")
    return raw


def _settings(raw: Mapping[str, object], name: str) -> Settings:
    properties = dict(
        _object(raw.get("properties", {}), name, allowed=_HONOURED | _WITHOUT_EFFECT | _OFF.keys())
    )
    for key, off in _OFF.items():
        if properties.get(key, off) != off:
            raise InvalidEntitiesError(f"{name}: {key} is not supported")
    return _Properties(name, properties).settings()


# Azure's exports name these even when they are off.
_OFF: Mapping[str, object] = {"requiresSession": False, "enablePartitioning": False, "enableExpress": False}


class _Properties:
    """The properties of one entity, read with an error that names entity and property."""

    def __init__(self, name: str, properties: Mapping[str, object]) -> None:
        self._name = name
        self._properties = properties

    def settings(self) -> Settings:
        detects = self._flag("requiresDuplicateDetection")
        window = self._seconds("duplicateDetectionHistoryTimeWindow", _DEFAULT_WINDOW, _LONGEST_WINDOW)
        return Settings(
            lock_duration=self._seconds("lockDuration", timedelta(minutes=1), _LONGEST_LOCK),
            max_delivery_count=self._count("maxDeliveryCount", 10),
            duplicate_window=window if detects else None,
            time_to_live=self._seconds("defaultMessageTimeToLive", None, None),
            dead_letter_on_expiration=self._flag("deadLetteringOnMessageExpiration"),
            max_size=self._count("maxSizeInMegabytes", 1024) * 2**20,
            status=self._status(),
        )

    def _status(self) -> Status:
        try:
            return Status(self._properties.get("status", "Active"))
        except ValueError:
            raise self._wrong("status", " or ".join(status.value for status in Status)) from None

    def _flag(self, key: str) -> bool:
        value = self._properties.get(key, False)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def _count(self, key: str, default: int) -> int:
        value = self._properties.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._wrong(key, "a whole number from 1")
        return value

    def _seconds(self, key: str, default: timedelta | None, longest: timedelta | None) -> float:
        text = self._properties.get(key)
        if text is None:
            return inf if default is None else default.total_seconds()
        parts = _DURATION.fullmatch(text) if isinstance(text, str) else None
        if parts is None or not any(parts.groups()):
            raise self._wrong(key, "a duration such as PT1M")
        try:
            duration = timedelta(**dict(zip(_UNITS, map(float, parts.groups("0")), strict=True)))
        except OverflowError:
            duration = timedelta.max
        if not duration or (longest is not None and duration > longest):
            raise self._wrong(
                key, "longer than nothing" if longest is None else f"above 0 and at most {longest}"
            )
        return duration.total_seconds()

    def _wrong(self, key: str, expected: str) -> InvalidEntitiesError:
        return InvalidEntitiesError(f"{self._name}: {key} should be {expected}")
