"""Entities described in JSON, with the property names of Azure Resource Manager.

(Microsoft.ServiceBus namespaces/queues, namespaces/topics and namespaces/topics/subscriptions.)
"""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from math import inf

from local.service_bus.entities import Clock
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


def read(described: object, clock: Clock) -> tuple[list[Queue], list[Topic]]:
    """Build the queues and topics of ``{"queues": [...], "topics": [...]}``.

    Args:
        described: Lists of ``{"name", "properties"}``; a topic also has ``subscriptions`` of that form.
        clock: Seconds since 1970 UTC.

    Raises:
        InvalidEntitiesError: Another shape, a value that Azure would refuse, or an unsupported property.
    """
    root = _object(described, "the entities", allowed={"queues", "topics"})
    queues = [queue(name, _settings(raw, name), clock) for name, raw in _named(root, "queues")]
    topics = [_topic(name, raw, clock) for name, raw in _named(root, "topics")]
    return queues, topics


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
